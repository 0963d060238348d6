// Which keys a namespace may hold: a split-block Bloom filter.
//
// Each key sets eight bits, one in each 32-bit lane of one 256-bit block, so a
// lookup touches one cache line, or two. No false negatives, ever; false
// positives stay below 1 % up to `keys_max` keys. The blocks are stored in
// chunks, entries of the system tree, and read where they are mapped: a
// synopsis takes hardly any memory of its own.
#ifndef LARDER_CACHE_L2_SYNOPSIS_H_
#define LARDER_CACHE_L2_SYNOPSIS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"

namespace larder::cache::l2 {

// How large a filter is, and where a key falls in it. A plain value.
class SynopsisShape {
 public:
  // Source: 13 bits a key give 0.4 to 0.7 % false positives in split blocks of
  // 256 bits; measured by synopsis_test.
  static constexpr uint64_t kBitsPerKey = 13;
  static constexpr uint64_t kBlockBytes = 32;
  // A chunk is what one leaf entry holds; two fit a 4 KiB page.
  static constexpr uint64_t kChunkBlocks = 58;
  static constexpr uint64_t kChunkBytes = kChunkBlocks * kBlockBytes + 1;
  // The last byte of each chunk. Source: a page that cannot be read reads as
  // zeros, which must not pass for blocks without keys; see GuardedMapping.
  static constexpr char kChunkMark = '\xff';

  // For `keys_max` keys; at least 1,024 are assumed.
  explicit SynopsisShape(uint64_t keys_max);

  uint64_t keys_max() const { return keys_max_; }
  uint64_t bytes() const { return blocks_ * kBlockBytes + chunks(); }
  uint64_t chunks() const {
    return (blocks_ + kChunkBlocks - 1) / kChunkBlocks;
  }
  uint64_t ChunkBytes(uint64_t chunk) const;

  // The block of a key, which goes by the NameHash() of its name. Blocks, and
  // so chunks, ascend with the hash.
  struct Place {
    uint64_t chunk;
    size_t offset;  // In the chunk, in bytes.
  };
  Place PlaceOf(uint64_t name_hash) const {
    const uint64_t block = static_cast<uint64_t>(
        (static_cast<unsigned __int128>(name_hash) * blocks_) >> 64);
    return {block / kChunkBlocks, block % kChunkBlocks * kBlockBytes};
  }

 private:
  uint64_t keys_max_;
  uint64_t blocks_;
};

// Whether all bits of the key are set in its block.
bool SynopsisBlockHas(const char* block, uint64_t name_hash);
// Sets them. Returns: whether one was not set.
bool AddToSynopsisBlock(char* block, uint64_t name_hash);
// Whether it is the block of no key at all.
bool SynopsisBlockIsEmpty(const char* block);

// The filter as readers ask it. Thread-safe: one committer calls Show() beside
// any number of readers. A reader keeps the pages of the chunks from reuse (a
// reader slot) from before it asks until it has the answer.
class Synopsis {
 public:
  explicit Synopsis(uint64_t keys_max);

  const SynopsisShape& shape() const { return shape_; }

  // `find`: the bytes of a chunk that no reader asked for before, in a root
  // that is not older than this object; null when they are lost, which then
  // answers "maybe" for all of its keys.
  using FindChunk = absl::FunctionRef<const char*(uint64_t chunk)>;
  bool MayContain(uint64_t name_hash, FindChunk find) const {
    const SynopsisShape::Place place = shape_.PlaceOf(name_hash);
    const char* const bytes = Find(place.chunk, find);
    if (SynopsisBlockHas(bytes + place.offset, name_hash)) return true;
    return SynopsisBlockIsEmpty(bytes + place.offset) &&
           !IsWhole(place.chunk, bytes);
  }
  // For who adds to it. Returns: a chunk that has every key for one that is
  // lost, or turns out to be while it is copied.
  std::string CopyChunk(uint64_t chunk, FindChunk find) const;

  // The chunk is at `bytes` from now on: a commit moved it there.
  void Show(uint64_t chunk, const char* bytes) {
    chunks_[chunk].store(bytes, std::memory_order_seq_cst);
  }

 private:
  const char* Find(uint64_t chunk, FindChunk find) const {
    const char* bytes = chunks_[chunk].load(std::memory_order_acquire);
    return bytes != nullptr ? bytes : Load(chunk, find);
  }
  const char* Load(uint64_t chunk, FindChunk find) const;
  bool IsWhole(uint64_t chunk, const char* bytes) const {
    return bytes[shape_.ChunkBytes(chunk) - 1] == SynopsisShape::kChunkMark;
  }

  const SynopsisShape shape_;
  // Where chunks are mapped; null: nobody asked yet.
  const std::unique_ptr<std::atomic<const char*>[]> chunks_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SYNOPSIS_H_
