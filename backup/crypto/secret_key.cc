#include "backup/crypto/secret_key.h"

#include <openssl/crypto.h>

#include <cstring>

#include "cache/check.h"

namespace larder::backup::crypto {

SecretKey::SecretKey(absl::string_view bytes) {
  LARDER_CHECK(bytes.size() == kSecretKeyBytes);
  std::memcpy(bytes_.data(), bytes.data(), bytes_.size());
}

// Not left to the compiler, which may drop a write that nobody reads.
SecretKey::~SecretKey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

}  // namespace larder::backup::crypto
