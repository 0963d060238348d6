#include "backup/format/message.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/limits.h"
#include "cache/check.h"
#include "cache/status_macros.h"
#include "google/protobuf/descriptor.h"

namespace larder::backup::format {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Walks the wire format of one message and those below it.
class WireWalk {
 public:
  absl::Status Check(const Descriptor& type, absl::string_view bytes,
                     int depth) {
    if (depth > kMessageDepthMax) {
      return Malformed(type, absl::StrCat("depth exceeds ", kMessageDepthMax));
    }
    while (!bytes.empty()) {
      if (++items_ > kMessageItemsMax) {
        return Malformed(
            type, absl::StrCat("more than ", kMessageItemsMax, " fields"));
      }
      uint64_t tag;
      absl::string_view value;
      if (!ReadVarint(&bytes, &tag) || (tag >> 3) == 0 ||
          (tag >> 3) > FieldDescriptor::kMaxNumber ||
          !ReadValue(static_cast<int>(tag & 7), &bytes, &value)) {
        return Malformed(type, "not the wire format");
      }
      LARDER_RETURN_IF_ERROR(CheckField(type, static_cast<int>(tag >> 3),
                                        static_cast<int>(tag & 7), value,
                                        depth));
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Malformed(const Descriptor& type,
                                absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat("message ", type.name(), ": ", what));
  }

  absl::Status CheckField(const Descriptor& type, int number, int wire_type,
                          absl::string_view value, int depth) {
    const FieldDescriptor* field = type.FindFieldByNumber(number);
    if (field == nullptr) {
      if (number >= kIgnorableFieldMin) return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrFormat("message %s: field %d is not known and below %d, "
                          "written by a newer version",
                          type.name(), number, kIgnorableFieldMin));
    }
    if (field->type() != FieldDescriptor::TYPE_MESSAGE) return absl::OkStatus();
    if (wire_type != kBytes) return Malformed(type, "not the wire format");
    return Check(*field->message_type(), value, depth + 1);
  }

  static bool ReadVarint(absl::string_view* in, uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !in->empty(); shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(in->front());
      in->remove_prefix(1);
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  static bool ReadValue(int wire_type, absl::string_view* in,
                        absl::string_view* value) {
    uint64_t size = 0;
    switch (wire_type) {
      case kVarint:
        return ReadVarint(in, &size);
      case kFixed64:
        size = 8;
        break;
      case kFixed32:
        size = 4;
        break;
      case kBytes:
        if (!ReadVarint(in, &size)) return false;
        break;
      default:
        return false;
    }
    if (size > in->size()) return false;
    *value = in->substr(0, size);
    in->remove_prefix(size);
    return true;
  }

  int64_t items_ = 0;
};

}  // namespace

absl::Status ParseMessage(absl::string_view bytes,
                          google::protobuf::Message* message) {
  LARDER_RETURN_IF_ERROR(WireWalk().Check(*message->GetDescriptor(), bytes, 1));
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(absl::StrCat(
        "message ", message->GetDescriptor()->name(), ": cannot be parsed"));
  }
  return absl::OkStatus();
}

std::string SerializeMessage(const google::protobuf::Message& message) {
  std::string bytes;
  LARDER_CHECK(message.SerializeToString(&bytes));
  return bytes;
}

}  // namespace larder::backup::format
