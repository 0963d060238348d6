// Who may talk to whom: certificates and bearer tokens, from files.
#ifndef LARDER_REPLICATION_CREDENTIALS_H_
#define LARDER_REPLICATION_CREDENTIALS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replication/endpoint.h"

namespace larder::replication {

// What one side shows of itself, and by what it knows the other. PEM, or empty:
// none.
struct TlsCredentials {
  std::string certificate;
  std::string key;
  // Of who signs the other side. A replica with one asks every client for a
  // certificate; a client without one counts on the system's.
  std::string ca;
};

// Bearer tokens that are accepted. Keeps their SHA-256 only. Thread-compatible.
class BearerTokens {
 public:
  BearerTokens() = default;
  explicit BearerTokens(const std::vector<std::string>& tokens);

  bool empty() const { return digests_.empty(); }
  // The name of the token in an "authorization" value: "token:" and 16
  // hexadecimal digits of its SHA-256. Nothing, when it is none of ours. Takes
  // as long for each.
  std::optional<std::string> Find(absl::string_view authorization) const;

 private:
  std::vector<std::string> digests_;
};

// A line each; empty lines and those that start with # do not count. The file
// must not be readable for others, nor writable.
// Errors: kNotFound; kFailedPrecondition: the mode; kInvalidArgument: no token,
// or one of fewer than 16 bytes or of other than visible ASCII.
absl::StatusOr<std::vector<std::string>> ReadTokenFile(const std::string& path);
// At most 1 MiB. Errors: kNotFound, kInternal, kInvalidArgument.
absl::StatusOr<std::string> ReadPemFile(const std::string& path);

// Errors: kFailedPrecondition, saying what to do, unless a replica may listen
// at `endpoint`: on loopback, or with TLS and tokens, or `insecure`.
absl::Status CheckListen(const Endpoint& endpoint, bool has_tls,
                         bool has_tokens, bool insecure);
// The same for a client: loopback, or TLS, or `insecure`.
absl::Status CheckConnect(const Endpoint& endpoint, bool has_tls,
                          bool insecure);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_CREDENTIALS_H_
