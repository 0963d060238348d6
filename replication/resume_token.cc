#include "replication/resume_token.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/crypto/hash.h"
#include "backup/format/coding.h"
#include "cache/status_macros.h"
#include "replication/random_file.h"

namespace larder::replication {
namespace {

using backup::format::AppendFixed;
using backup::format::LoadFixed;

constexpr absl::string_view kSecretName = "secret";
constexpr size_t kSecretBytes = 32;
constexpr char kVersion = 1;
constexpr size_t kHeadBytes = kResumeTokenBytes - backup::crypto::kSha256Bytes;

}  // namespace

absl::StatusOr<ResumeTokens> ResumeTokens::Open(
    cache::l2::FileSystem* file_system, const std::string& directory) {
  LARDER_ASSIGN_OR_RETURN(
      std::string secret,
      OpenRandomFile(file_system, directory, kSecretName, kSecretBytes));
  return ResumeTokens(std::move(secret));
}

std::string ResumeTokens::Mac(absl::string_view head,
                              const ResumeBinding& binding) const {
  std::string text = absl::StrCat("larder resume 1", head);
  AppendFixed<uint64_t>(binding.stream_id, &text);
  for (const std::string* part :
       {&binding.peer, &binding.lineage, &binding.snapshot_id}) {
    AppendFixed<uint64_t>(part->size(), &text);
    text += *part;
  }
  return backup::crypto::HmacSha256(secret_, text);
}

std::string ResumeTokens::Issue(const ResumeBinding& binding,
                                int64_t expires_unix_ms) const {
  std::string token(1, kVersion);
  AppendFixed<uint64_t>(static_cast<uint64_t>(expires_unix_ms), &token);
  token += Mac(token, binding);
  return token;
}

absl::Status ResumeTokens::Verify(absl::string_view token,
                                  const ResumeBinding& binding,
                                  int64_t now_unix_ms) const {
  // All but the expiry looks the same to who tries.
  const absl::Status refusal = absl::UnauthenticatedError(
      "resume token: not issued here for this peer, lineage and snapshot");
  if (token.size() != kResumeTokenBytes || token[0] != kVersion) return refusal;
  const absl::string_view head = token.substr(0, kHeadBytes);
  if (!backup::crypto::ConstantTimeEquals(token.substr(kHeadBytes),
                                          Mac(head, binding))) {
    return refusal;
  }
  const int64_t expires =
      static_cast<int64_t>(LoadFixed<uint64_t>(head.data() + 1));
  if (now_unix_ms < expires) return absl::OkStatus();
  return absl::UnauthenticatedError(
      absl::StrCat("resume token: expired ", now_unix_ms - expires, " ms ago"));
}

}  // namespace larder::replication
