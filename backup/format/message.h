// Protocol Buffers messages from bytes that nobody vouches for.
#ifndef LARDER_BACKUP_FORMAT_MESSAGE_H_
#define LARDER_BACKUP_FORMAT_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace larder::backup::format {

// A message may carry fields of a later version: numbers from here on are
// ignored, lower ones refused.
inline constexpr int kIgnorableFieldMin = 1000;

// Parses `bytes` into `*message`, after a walk over them that allocates
// nothing: counts fields, follows messages, looks for unknown fields.
// Errors, each with the message's name: kDataLoss (malformed; more than
// kMessageItemsMax fields; deeper than kMessageDepthMax),
// kFailedPrecondition (a field below kIgnorableFieldMin that is not known).
absl::Status ParseMessage(absl::string_view bytes,
                          google::protobuf::Message* message);

std::string SerializeMessage(const google::protobuf::Message& message);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_MESSAGE_H_
