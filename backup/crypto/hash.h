// SHA-256 and what is made of it.
#ifndef LARDER_BACKUP_CRYPTO_HASH_H_
#define LARDER_BACKUP_CRYPTO_HASH_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "backup/crypto/secret_key.h"

namespace larder::backup::crypto {

inline constexpr size_t kSha256Bytes = 32;

std::string HmacSha256(absl::string_view key, absl::string_view text);
std::string Sha256(absl::string_view text);
// In a time that depends on the sizes only.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

// HKDF (RFC 5869) with SHA-256: a key for the purpose `info`, from `secret`.
SecretKey DeriveKey(const SecretKey& secret, absl::string_view salt,
                    absl::string_view info);

}  // namespace larder::backup::crypto

#endif  // LARDER_BACKUP_CRYPTO_HASH_H_
