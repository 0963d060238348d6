#include "backup/crypto/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "absl/strings/str_cat.h"
#include "cache/check.h"

namespace larder::backup::crypto {
namespace {

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// To `to`, of kSha256Bytes.
void Hmac(absl::string_view key, absl::string_view text, unsigned char* to) {
  unsigned int size = 0;
  LARDER_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                    Bytes(text), text.size(), to, &size) != nullptr);
  LARDER_CHECK(size == kSha256Bytes);
}

}  // namespace

std::string HmacSha256(absl::string_view key, absl::string_view text) {
  unsigned char mac[kSha256Bytes];
  Hmac(key, text, mac);
  return std::string(reinterpret_cast<const char*>(mac), sizeof(mac));
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

SecretKey DeriveKey(const SecretKey& secret, absl::string_view salt,
                    absl::string_view info) {
  static_assert(kSecretKeyBytes == kSha256Bytes);  // One step of "expand".
  unsigned char step[kSha256Bytes];
  Hmac(salt, secret.bytes(), step);
  const SecretKey extracted(
      absl::string_view(reinterpret_cast<const char*>(step), sizeof(step)));
  Hmac(extracted.bytes(), absl::StrCat(info, "\x01"), step);
  const SecretKey key(
      absl::string_view(reinterpret_cast<const char*>(step), sizeof(step)));
  OPENSSL_cleanse(step, sizeof(step));
  return key;
}

}  // namespace larder::backup::crypto
