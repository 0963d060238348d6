// The few things that need OpenSSL.
#ifndef LARDER_REPLICATION_CRYPTO_H_
#define LARDER_REPLICATION_CRYPTO_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::replication {

inline constexpr size_t kSha256Bytes = 32;

std::string HmacSha256(absl::string_view key, absl::string_view text);
std::string Sha256(absl::string_view text);
// In a time that depends on the sizes only.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);
// Errors: kInternal: the system has none.
absl::StatusOr<std::string> RandomSecret(size_t bytes);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_CRYPTO_H_
