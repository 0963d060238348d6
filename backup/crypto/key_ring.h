// The keys that dumps are sealed with.
#ifndef LARDER_BACKUP_CRYPTO_KEY_RING_H_
#define LARDER_BACKUP_CRYPTO_KEY_RING_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/secret_key.h"

namespace larder::backup::crypto {

inline constexpr size_t kKeyIdBytes = 8;

// A key and what it is called in a dump: an ID of kKeyIdBytes that tells
// nothing of it.
struct NamedKey {
  explicit NamedKey(const SecretKey& k);
  SecretKey key;
  std::string id;
};

// As dumps and messages show an ID: hexadecimal.
std::string PrintKeyId(absl::string_view id);

// The first key seals; each opens what was sealed with it: so a key is
// replaced by putting a new one before it. Immutable, so thread-safe.
class KeyRing {
 public:
  // A key a line, 64 hexadecimal digits; empty lines and those that start with
  // # do not count. `name`: of the file, for messages.
  // Errors: kInvalidArgument naming the line, and nothing of what is in it: no
  // key, more than 1,000, one that comes twice, or something else.
  static absl::StatusOr<std::shared_ptr<const KeyRing>> Parse(
      absl::string_view text, std::string name);

  const NamedKey& first() const { return keys_.front(); }
  // Null: it has none.
  const NamedKey* Find(absl::string_view id) const;
  const std::string& name() const { return name_; }

 private:
  KeyRing() = default;

  std::string name_;
  std::vector<NamedKey> keys_;  // Not empty.
};

}  // namespace larder::backup::crypto

#endif  // LARDER_BACKUP_CRYPTO_KEY_RING_H_
