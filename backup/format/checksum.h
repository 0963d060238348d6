// The checksums of dumps: XXH3. They find accidents, not intent.
#ifndef LARDER_BACKUP_FORMAT_CHECKSUM_H_
#define LARDER_BACKUP_FORMAT_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

namespace larder::backup::format {

uint64_t Checksum64(absl::string_view bytes);
absl::uint128 Checksum128(absl::string_view bytes);

// Checksum128 of pieces, one after another. Single-owner.
class StreamingChecksum128 {
 public:
  StreamingChecksum128();
  ~StreamingChecksum128();
  void Reset();
  void Update(absl::string_view bytes);
  absl::uint128 Digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A 128-bit value in a message: 16 bytes, little endian.
inline constexpr size_t kUint128Bytes = 16;
std::string EncodeUint128(absl::uint128 value);
// False unless `bytes` are 16: a missing checksum is an error.
bool DecodeUint128(absl::string_view bytes, absl::uint128* value);
// For messages: 32 hexadecimal digits.
std::string Hex(absl::uint128 value);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_CHECKSUM_H_
