#include "cache/blob.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace larder::cache {
namespace {

// What glibc's malloc takes for a block: 8 bytes of header, in steps of 16, at
// least 32. Source: malloc.c of glibc 2.36 (request2size, MINSIZE).
size_t HeapBytes(size_t bytes) {
  if (bytes == 0) return 0;
  return std::max<size_t>(32, (bytes + 8 + 15) / 16 * 16);
}

// What a string takes beyond its own object.
size_t HeapBytesOf(const std::string& text) {
  const bool is_inline = text.capacity() <= std::string().capacity();
  return is_inline ? 0 : HeapBytes(text.capacity() + 1);
}

template <typename T>
size_t HeapBytesOf(const std::vector<T>& list) {
  size_t bytes = HeapBytes(list.capacity() * sizeof(T));
  if constexpr (std::is_same_v<T, std::string>) {
    for (const std::string& text : list) bytes += HeapBytesOf(text);
  }
  return bytes;
}

// Allocates so many bytes more than it is asked for, and says where they are.
template <typename T>
struct AllocatorWithRoom {
  using value_type = T;

  AllocatorWithRoom(size_t room_bytes, char** room_at)
      : bytes(room_bytes), room(room_at) {}
  template <typename U>
  AllocatorWithRoom(const AllocatorWithRoom<U>& other)  // NOLINT: converts.
      : bytes(other.bytes), room(other.room) {}

  T* allocate(size_t n) {
    char* const at = static_cast<char*>(::operator new(n * sizeof(T) + bytes));
    *room = at + n * sizeof(T);
    return reinterpret_cast<T*>(at);
  }
  void deallocate(T* at, size_t) { ::operator delete(at); }

  size_t bytes;
  char** room;  // Written by allocate(), not used later.
};

// A blob that finds out where its bytes are once it is allocated.
class BlobWithRoom : public Blob {
 public:
  BlobWithRoom(BlobAttributes&& attributes, char* const* room, size_t bytes)
      : Blob(std::move(attributes), absl::string_view(*room, bytes)) {}
};

// Reference counts and the table that std::make_shared puts beside a blob.
constexpr size_t kControlBlockBytes = 16;

}  // namespace

std::shared_ptr<const Blob> MakeBlob(BlobAttributes&& attributes, size_t bytes,
                                     char** room) {
  return std::allocate_shared<BlobWithRoom>(
      AllocatorWithRoom<BlobWithRoom>(bytes, room), std::move(attributes), room,
      bytes);
}

size_t Blob::MemoryBytes() const {
  size_t bytes = HeapBytes(sizeof(Blob) + kControlBlockBytes) +
                 HeapBytesOf(storage_) + HeapBytesOf(attributes_.tags) +
                 HeapBytesOf(attributes_.dependencies) +
                 HeapBytesOf(attributes_.metadata) +
                 HeapBytesOf(attributes_.invalidation_hashes);
  for (const auto& [key, value] : attributes_.metadata) {
    bytes += HeapBytesOf(key) + HeapBytesOf(value);
  }
  return bytes;
}

}  // namespace larder::cache
