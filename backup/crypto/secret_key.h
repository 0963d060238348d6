// A key that does not outlive its use in memory.
#ifndef LARDER_BACKUP_CRYPTO_SECRET_KEY_H_
#define LARDER_BACKUP_CRYPTO_SECRET_KEY_H_

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"

namespace larder::backup::crypto {

inline constexpr size_t kSecretKeyBytes = 32;

// Thread-compatible. Its bytes are overwritten when it goes; a copy has its
// own.
class SecretKey {
 public:
  // Requires: bytes.size() == kSecretKeyBytes.
  explicit SecretKey(absl::string_view bytes);
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey();

  absl::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kSecretKeyBytes> bytes_;
};

}  // namespace larder::backup::crypto

#endif  // LARDER_BACKUP_CRYPTO_SECRET_KEY_H_
