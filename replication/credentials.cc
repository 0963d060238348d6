#include "replication/credentials.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "backup/crypto/hash.h"
#include "backup/private_file.h"
#include "cache/status_macros.h"

namespace larder::replication {
namespace {

constexpr size_t kTokenBytesMin = 16;

}  // namespace

BearerTokens::BearerTokens(const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens)
    digests_.push_back(backup::crypto::Sha256(token));
}

std::optional<std::string> BearerTokens::Find(
    absl::string_view authorization) const {
  if (!absl::ConsumePrefix(&authorization, "Bearer ")) return std::nullopt;
  const std::string digest = backup::crypto::Sha256(authorization);
  bool found = false;
  for (const std::string& known : digests_) {
    // All of them, whichever it is.
    found = backup::crypto::ConstantTimeEquals(known, digest) || found;
  }
  if (!found) return std::nullopt;
  return absl::StrCat("token:", absl::BytesToHexString(digest.substr(0, 8)));
}

absl::StatusOr<std::vector<std::string>> ReadTokenFile(
    const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(const std::string bytes,
                          backup::ReadPrivateFile(path));
  std::vector<std::string> tokens;
  for (absl::string_view line : absl::StrSplit(bytes, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    if (line.size() < kTokenBytesMin ||
        !std::all_of(line.begin(), line.end(), [](char c) {
          return absl::ascii_isgraph(static_cast<unsigned char>(c));
        })) {
      // Not shown: it may be nearly one.
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": token ", tokens.size() + 1, ": not ",
                       kTokenBytesMin, " or more visible ASCII characters"));
    }
    tokens.emplace_back(line);
  }
  if (tokens.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no token"));
  }
  return tokens;
}

absl::StatusOr<std::string> ReadPemFile(const std::string& path) {
  return backup::ReadPublicFile(path);
}

absl::Status CheckListen(const Endpoint& endpoint, bool has_tls,
                         bool has_tokens, bool insecure) {
  if (endpoint.IsLoopback() || insecure || (has_tls && has_tokens)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "listen ", endpoint.Text(),
      ": others reach it: give --tls-cert, --tls-key and --token-file, or "
      "listen on 127.0.0.1, or say --insecure"));
}

absl::Status CheckConnect(const Endpoint& endpoint, bool has_tls,
                          bool insecure) {
  if (endpoint.IsLoopback() || insecure || has_tls) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("connect ", endpoint.Text(),
                   ": others could read along: give --tls-ca, or say "
                   "--insecure"));
}

}  // namespace larder::replication
