// Little-endian fixed and varint fields, and big-endian ones for keys that
// must sort as numbers.
#ifndef LARDER_CACHE_L2_CODING_H_
#define LARDER_CACHE_L2_CODING_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace larder::cache::l2 {

// The formats are little endian; so is every machine Larder runs on.
static_assert(std::endian::native == std::endian::little);

inline uint32_t LoadFixed32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline uint64_t LoadFixed64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline uint32_t LoadBig32(const char* p) {
  return __builtin_bswap32(LoadFixed32(p));
}
inline uint64_t LoadBig64(const char* p) {
  return __builtin_bswap64(LoadFixed64(p));
}

inline void AppendFixed32(std::string* out, uint32_t v) {
  out->append(reinterpret_cast<const char*>(&v), sizeof(v));
}
inline void AppendFixed64(std::string* out, uint64_t v) {
  out->append(reinterpret_cast<const char*>(&v), sizeof(v));
}
inline void AppendBig32(std::string* out, uint32_t v) {
  AppendFixed32(out, __builtin_bswap32(v));
}
inline void AppendBig64(std::string* out, uint64_t v) {
  AppendFixed64(out, __builtin_bswap64(v));
}
// Seven bits a byte, least significant first, the high bit says more follow.
inline void AppendVarint(std::string* out, uint64_t v) {
  while (v >= 0x80) {
    out->push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out->push_back(static_cast<char>(v));
}
inline void AppendBytes(std::string* out, absl::string_view bytes) {
  AppendVarint(out, bytes.size());
  out->append(bytes.data(), bytes.size());
}

// Reads fields off the front of bytes that nobody vouches for. Every Read
// returns false, and leaves the rest in an unspecified place, when the bytes
// end early or a varint is longer than 64 bits. Borrows the bytes.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  bool ReadByte(uint8_t* v) {
    if (rest_.empty()) return false;
    *v = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return true;
  }
  bool ReadFixed32(uint32_t* v) {
    if (rest_.size() < 4) return false;
    *v = LoadFixed32(rest_.data());
    rest_.remove_prefix(4);
    return true;
  }
  bool ReadFixed64(uint64_t* v) {
    if (rest_.size() < 8) return false;
    *v = LoadFixed64(rest_.data());
    rest_.remove_prefix(8);
    return true;
  }
  bool ReadVarint(uint64_t* v) {
    *v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte;
      if (!ReadByte(&byte)) return false;
      if (shift == 63 && byte > 1) return false;
      *v |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  // A length, then so many bytes; fails when the length exceeds `bytes_max`.
  bool ReadBytes(uint64_t bytes_max, absl::string_view* v) {
    uint64_t n;
    if (!ReadVarint(&n) || n > bytes_max || n > rest_.size()) return false;
    *v = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return true;
  }
  bool ReadRaw(size_t n, absl::string_view* v) {
    if (n > rest_.size()) return false;
    *v = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return true;
  }
  absl::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_CODING_H_
