// Both sides of a Get against one that says anything. Input: a mode (u8), then
// messages, each behind its size (u16). Mode 0: requests; a live replica
// answers each with the blob that it has, or that it has none. Else: the
// replies of a replica; a client takes no more of them than a blob has.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/coding.h"
#include "backup/outcome.h"
#include "cache/blob_cache.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/policy.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/stubs/logging.h"
#include "replication/get_reply_check.h"
#include "replication/limits.h"
#include "replication/live_replica_test_support.h"
#include "replication/replication.pb.h"
#include "replication/send_blob.h"
#include "tests/fuzz/input.h"

namespace larder::replication {
namespace {

// Whether there was one that gRPC would have let through.
bool Next(absl::string_view* input, google::protobuf::MessageLite* message) {
  if (input->size() < 2) return false;
  const size_t size = backup::format::LoadFixed<uint16_t>(input->data());
  input->remove_prefix(2);
  const absl::string_view bytes = input->substr(0, size);
  input->remove_prefix(bytes.size());
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// A replica that serves blobs of one piece and of several: under a key of N
// bytes N zeros, but for 9, under which is a large one.
class Served {
 public:
  Served() {
    LARDER_CHECK(replica_.Start().ok());
    LivePrimary primary(&clock_);
    for (size_t bytes = 1; bytes <= kKeys; ++bytes) {
      LARDER_CHECK(primary.cache
                       ->Put("ns", std::string(bytes, 'k'), BytesOf(bytes),
                             {.tags = {"tag"}})
                       .ok());
    }
    LARDER_CHECK(primary.Backup({&replica_}).outcome == backup::Outcome::kOk);
  }

  void Check(const GetRequest& request) const {
    GetReplyCheck check;
    std::string bytes;
    const absl::Status sent =
        SendBlob(*replica_.live, request, [&](const GetReply& piece) {
          LARDER_CHECK(piece.ByteSizeLong() <= kMessageBytesMax);
          LARDER_CHECK(check.Add(piece).ok());
          bytes += piece.data();
          return true;
        });
    const size_t size = request.key().size();
    if (request.namespace_() == "ns" && size >= 1 && size <= kKeys &&
        request.key() == std::string(size, 'k')) {
      LARDER_CHECK(sent.ok() && check.Finish().ok());
      LARDER_CHECK(bytes == BytesOf(size));
    } else {
      LARDER_CHECK(absl::IsNotFound(sent));
      LARDER_CHECK(bytes.empty());
    }
  }

 private:
  static constexpr size_t kKeys = 9;
  static std::string BytesOf(size_t key_bytes) {
    return std::string(key_bytes == kKeys ? (1 << 20) + 5 : key_bytes, '\0');
  }

  cache::ManualClock clock_{1'700'000'000'000};
  LiveReplica replica_{&clock_};
};

void CheckReplies(absl::string_view input) {
  GetReplyCheck check;
  int64_t pieces = 0;
  int64_t bytes = 0;
  for (GetReply piece; Next(&input, &piece);) {
    const absl::Status status = check.Add(piece);
    if (!status.ok()) {
      LARDER_CHECK(absl::IsDataLoss(status));
      return;
    }
    LARDER_CHECK(piece.data().size() <= kPieceBytesMax);
    LARDER_CHECK(pieces == 0 || !piece.data().empty());
    LARDER_CHECK(pieces == 0 || piece.tags().empty());
    LARDER_CHECK(piece.tags_size() <= cache::kTagsMax);
    ++pieces;
    bytes += static_cast<int64_t>(piece.data().size());
  }
  LARDER_CHECK(check.bytes() == bytes);
  LARDER_CHECK(check.Finish().ok() == (pieces > 0));
}

void CheckOne(absl::string_view input) {
  // It logs each string that is not UTF-8.
  static const auto unused = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(unused);
  if (input.empty()) return;
  const uint8_t mode = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  if (mode != 0) return CheckReplies(input);
  static const Served* const served = new Served();
  for (GetRequest request; Next(&input, &request);) served->Check(request);
}

}  // namespace
}  // namespace larder::replication

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::replication::CheckOne(larder::tests::Input(data, size));
  return 0;
}
