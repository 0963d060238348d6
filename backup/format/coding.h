// Little-endian fields of fixed size.
#ifndef LARDER_BACKUP_FORMAT_CODING_H_
#define LARDER_BACKUP_FORMAT_CODING_H_

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>

namespace larder::backup::format {

// The format is little endian; so is every machine Larder runs on.
static_assert(std::endian::native == std::endian::little);

template <typename T>
T LoadFixed(const char* from) {
  static_assert(std::is_unsigned_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void StoreFixed(T value, char* to) {
  static_assert(std::is_unsigned_v<T>);
  std::memcpy(to, &value, sizeof(value));
}

template <typename T>
void AppendFixed(T value, std::string* out) {
  char bytes[sizeof(T)];
  StoreFixed<T>(value, bytes);
  out->append(bytes, sizeof(bytes));
}

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_CODING_H_
