// AES-256-GCM: encrypts, and tells whether what comes back is what it was.
#ifndef LARDER_BACKUP_CRYPTO_AES_GCM_H_
#define LARDER_BACKUP_CRYPTO_AES_GCM_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "backup/crypto/secret_key.h"

namespace larder::backup::crypto {

inline constexpr size_t kGcmNonceBytes = 12;
inline constexpr size_t kGcmTagBytes = 16;

// What both sides must agree on. Two texts under one key and one nonce tell
// each other: a nonce must never come twice.
struct GcmContext {
  absl::string_view nonce;       // kGcmNonceBytes.
  absl::string_view associated;  // Authenticated, not encrypted.
};

// Encrypts `*text` from `at` on in place, and appends the tag.
// Requires: text->size() - at <= 2^30.
void GcmEncrypt(const SecretKey& key, const GcmContext& context, size_t at,
                std::string* text);

// Decrypts `*text` in place and removes the tag. Returns: false when the tag is
// wrong, or there is none; then `*text` is empty: nothing of it may be used.
// Requires: text->size() <= 2^30.
bool GcmDecrypt(const SecretKey& key, const GcmContext& context,
                std::string* text);

}  // namespace larder::backup::crypto

#endif  // LARDER_BACKUP_CRYPTO_AES_GCM_H_
