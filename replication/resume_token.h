// The token with which a client goes on with its transfer, and nobody else can.
#ifndef LARDER_REPLICATION_RESUME_TOKEN_H_
#define LARDER_REPLICATION_RESUME_TOKEN_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"

namespace larder::replication {

// What a token is bound to.
struct ResumeBinding {
  std::string peer;
  std::string lineage;
  std::string snapshot_id;
  uint64_t stream_id = 0;

  bool operator==(const ResumeBinding&) const = default;
};

// 1 byte: version, 1. 8 bytes: when it expires, Unix milliseconds, little
// endian. 32 bytes: HMAC-SHA256, keyed with the replica's secret, of the text
// "larder resume 1", those 9 bytes, the stream id (8 bytes), and peer, lineage
// and snapshot id, each behind its length (8 bytes).
inline constexpr size_t kResumeTokenBytes = 41;

// Thread-compatible. A plain value.
class ResumeTokens {
 public:
  explicit ResumeTokens(std::string secret) : secret_(std::move(secret)) {}

  // With the secret in `directory`, made at random when there is none.
  // Errors: kDataLoss: it is damaged; removing it voids all tokens.
  static absl::StatusOr<ResumeTokens> Open(cache::l2::FileSystem* file_system,
                                           const std::string& directory);

  std::string Issue(const ResumeBinding& binding,
                    int64_t expires_unix_ms) const;
  // Errors: kUnauthenticated: not one that Issue() gave for `binding`, or it
  // has expired.
  absl::Status Verify(absl::string_view token, const ResumeBinding& binding,
                      int64_t now_unix_ms) const;

 private:
  std::string Mac(absl::string_view head, const ResumeBinding& binding) const;

  std::string secret_;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_RESUME_TOKEN_H_
