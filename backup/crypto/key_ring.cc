#include "backup/crypto/key_ring.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "backup/crypto/hash.h"
#include "cache/status_macros.h"

namespace larder::backup::crypto {
namespace {

constexpr size_t kKeysMax = 1000;

absl::StatusOr<SecretKey> ParseKey(absl::string_view line) {
  if (line.size() != 2 * kSecretKeyBytes ||
      !std::all_of(line.begin(), line.end(), [](char c) {
        return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      })) {
    // Not shown: it may be nearly one.
    return absl::InvalidArgumentError(
        absl::StrCat("not ", 2 * kSecretKeyBytes, " hexadecimal digits"));
  }
  std::string bytes = absl::HexStringToBytes(line);
  SecretKey key(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

}  // namespace

NamedKey::NamedKey(const SecretKey& k)
    : key(k),
      id(HmacSha256(k.bytes(), "larder key id 1").substr(0, kKeyIdBytes)) {}

std::string PrintKeyId(absl::string_view id) {
  return absl::BytesToHexString(id);
}

absl::StatusOr<std::shared_ptr<const KeyRing>> KeyRing::Parse(
    absl::string_view text, std::string name) {
  std::shared_ptr<KeyRing> ring(new KeyRing());
  ring->name_ = std::move(name);
  const auto bad = [&](int line, absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(ring->name_, ": line ", line, ": ", what));
  };
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const absl::StatusOr<SecretKey> key = ParseKey(line);
    if (!key.ok()) return bad(number, key.status().message());
    NamedKey named(*key);
    if (ring->Find(named.id) != nullptr)
      return bad(number, "a key comes twice");
    if (ring->keys_.size() == kKeysMax) {
      return bad(number, absl::StrCat("more than ", kKeysMax, " keys"));
    }
    ring->keys_.push_back(std::move(named));
  }
  if (ring->keys_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ring->name_, ": holds no key"));
  }
  return std::shared_ptr<const KeyRing>(std::move(ring));
}

const NamedKey* KeyRing::Find(absl::string_view id) const {
  for (const NamedKey& key : keys_) {
    if (key.id == id) return &key;
  }
  return nullptr;
}

}  // namespace larder::backup::crypto
