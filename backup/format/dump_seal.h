// How the chunks of one dump are sealed: encrypted, and proof against change.
//
// Bytes: docs/formats/dump.md, "sealed dumps".
#ifndef LARDER_BACKUP_FORMAT_DUMP_SEAL_H_
#define LARDER_BACKUP_FORMAT_DUMP_SEAL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/aes_gcm.h"
#include "backup/crypto/secret_key.h"

namespace larder::backup::format {

inline constexpr size_t kSaltBytes = 32;
// What sealing adds to a payload.
inline constexpr size_t kSealTagBytes = crypto::kGcmTagBytes;

// Immutable, so thread-safe; a cheap copy. The keys go with the last one.
class DumpSeal {
 public:
  // Of a dump in the clear.
  DumpSeal() = default;
  // Of a sealed one; its keys are made of `master`, `salt` and `stream_id`. No
  // two dumps may have all three in common: their chunks would share nonces.
  DumpSeal(const crypto::SecretKey& master, absl::string_view salt,
           uint64_t stream_id);
  // Of a sealed one that cannot be opened, and why.
  static DumpSeal Locked(absl::Status why);

  bool sealed() const { return keys_ != nullptr || !why_locked_.ok(); }
  // Why it cannot be opened. OK: it can, or is in the clear.
  const absl::Status& status() const { return why_locked_; }

  // Encrypts `*bytes` from `at` on, and appends kSealTagBytes. `associated` is
  // bound to it. Requires: sealed(), status(); each sequence once.
  void Encrypt(uint64_t sequence, absl::string_view associated, size_t at,
               std::string* bytes) const;
  // The reverse, of what is at most some MiB.
  // Errors: status(); kDataLoss, and `*bytes` are empty then.
  absl::Status Decrypt(uint64_t sequence, absl::string_view associated,
                       std::string* bytes) const;
  // Requires: sealed(), status().
  std::string Mac(absl::string_view text) const;

 private:
  struct Keys {
    crypto::SecretKey data;
    crypto::SecretKey mac;
  };
  std::shared_ptr<const Keys> keys_;
  absl::Status why_locked_;
};

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_DUMP_SEAL_H_
