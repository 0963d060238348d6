#include "replication/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "absl/status/status.h"
#include "cache/check.h"

namespace larder::replication {
namespace {

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string HmacSha256(absl::string_view key, absl::string_view text) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  LARDER_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                    Bytes(text), text.size(), mac, &size) != nullptr);
  LARDER_CHECK(size == kSha256Bytes);
  return std::string(reinterpret_cast<const char*>(mac), size);
}

std::string Sha256(absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  LARDER_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(),
                          nullptr) == 1);
  LARDER_CHECK(size == kSha256Bytes);
  return std::string(reinterpret_cast<const char*>(digest), size);
}

bool ConstantTimeEquals(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::StatusOr<std::string> RandomSecret(size_t bytes) {
  std::string secret(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(secret.data()),
                 static_cast<int>(bytes)) != 1) {
    return absl::InternalError("random bytes: the system gives none");
  }
  return secret;
}

}  // namespace larder::replication
