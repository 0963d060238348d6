// Messages of dumps as fuzz inputs.
#ifndef LARDER_TESTS_FUZZ_DUMP_MESSAGE_H_
#define LARDER_TESTS_FUZZ_DUMP_MESSAGE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace larder::tests {

// Whether `bytes` parse; checks that the message then serializes to what parses
// to the same, and otherwise that the status is one a reader expects.
bool ParsesAndComesBack(absl::string_view bytes,
                        google::protobuf::Message* message);

// Checks that a refusal is kDataLoss or kFailedPrecondition.
void CheckRefusal(const absl::Status& status);

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_DUMP_MESSAGE_H_
