#include "tests/fuzz/dump_message.h"

#include <memory>
#include <string>

#include "backup/format/message.h"
#include "cache/check.h"
#include "google/protobuf/stubs/logging.h"

namespace larder::tests {

using backup::format::ParseMessage;
using backup::format::SerializeMessage;

bool ParsesAndComesBack(absl::string_view bytes,
                        google::protobuf::Message* message) {
  // It logs each string that is not UTF-8.
  static const auto unused = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(unused);
  const absl::Status status = ParseMessage(bytes, message);
  if (!status.ok()) {
    CheckRefusal(status);
    return false;
  }
  const std::string serialized = SerializeMessage(*message);
  const std::unique_ptr<google::protobuf::Message> again(message->New());
  LARDER_CHECK(ParseMessage(serialized, again.get()).ok());
  LARDER_CHECK(SerializeMessage(*again) == serialized);
  return true;
}

void CheckRefusal(const absl::Status& status) {
  LARDER_CHECK(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
}

}  // namespace larder::tests
