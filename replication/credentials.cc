#include "replication/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cache/status_macros.h"
#include "replication/crypto.h"

namespace larder::replication {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kTokenBytesMin = 16;

absl::Status FileError(const std::string& path, int error) {
  const std::string what = absl::StrCat(path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(what)
                         : absl::InternalError(what);
}

// What others may do with the file goes to `*mode`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          mode_t* mode) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(path, errno);
  const auto close = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat stat = {};
  if (::fstat(fd, &stat) != 0) return FileError(path, errno);
  *mode = stat.st_mode;
  std::string bytes(kFileBytesMax + 1, '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd, &bytes[size], bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": more than ", kFileBytesMax, " bytes"));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

BearerTokens::BearerTokens(const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) digests_.push_back(Sha256(token));
}

std::optional<std::string> BearerTokens::Find(
    absl::string_view authorization) const {
  if (!absl::ConsumePrefix(&authorization, "Bearer ")) return std::nullopt;
  const std::string digest = Sha256(authorization);
  bool found = false;
  for (const std::string& known : digests_) {
    // All of them, whichever it is.
    found = ConstantTimeEquals(known, digest) || found;
  }
  if (!found) return std::nullopt;
  return absl::StrCat("token:", absl::BytesToHexString(digest.substr(0, 8)));
}

absl::StatusOr<std::vector<std::string>> ReadTokenFile(
    const std::string& path) {
  mode_t mode = 0;
  LARDER_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(path, &mode));
  if ((mode & (S_IRGRP | S_IROTH | S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": others may read or write it: chmod 600 it first"));
  }
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
  mode_t mode = 0;
  return ReadWholeFile(path, &mode);
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
