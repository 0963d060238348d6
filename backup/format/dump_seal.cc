#include "backup/format/dump_seal.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "backup/crypto/hash.h"
#include "backup/format/coding.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup::format {
namespace {

crypto::SecretKey KeyFor(absl::string_view purpose,
                         const crypto::SecretKey& master,
                         absl::string_view salt, uint64_t stream_id) {
  std::string info(purpose);
  AppendFixed<uint64_t>(stream_id, &info);
  return crypto::DeriveKey(master, salt, info);
}

// The sequence as a number of 96 bits. Chunks of a dump do not share one, and
// no two dumps share a key.
std::string NonceOf(uint64_t sequence) {
  std::string nonce;
  AppendFixed<uint64_t>(sequence, &nonce);
  AppendFixed<uint32_t>(0, &nonce);
  return nonce;
}

}  // namespace

DumpSeal::DumpSeal(const crypto::SecretKey& master, absl::string_view salt,
                   uint64_t stream_id)
    : keys_(std::make_shared<const Keys>(
          Keys{KeyFor("larder dump 1", master, salt, stream_id),
               KeyFor("larder seal 1", master, salt, stream_id)})) {
  LARDER_CHECK(salt.size() == kSaltBytes);
}

DumpSeal DumpSeal::Locked(absl::Status why) {
  LARDER_CHECK(!why.ok());
  DumpSeal seal;
  seal.why_locked_ = std::move(why);
  return seal;
}

void DumpSeal::Encrypt(uint64_t sequence, absl::string_view associated,
                       size_t at, std::string* bytes) const {
  LARDER_CHECK(keys_ != nullptr);
  const std::string nonce = NonceOf(sequence);
  crypto::GcmEncrypt(keys_->data, {nonce, associated}, at, bytes);
}

absl::Status DumpSeal::Decrypt(uint64_t sequence, absl::string_view associated,
                               std::string* bytes) const {
  LARDER_RETURN_IF_ERROR(why_locked_);
  LARDER_CHECK(keys_ != nullptr);
  const std::string nonce = NonceOf(sequence);
  if (crypto::GcmDecrypt(keys_->data, {nonce, associated}, bytes)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrFormat(
      "chunk %d: its seal is broken: not what was written", sequence));
}

std::string DumpSeal::Mac(absl::string_view text) const {
  LARDER_CHECK(keys_ != nullptr);
  return crypto::HmacSha256(keys_->mac.bytes(), text);
}

}  // namespace larder::backup::format
