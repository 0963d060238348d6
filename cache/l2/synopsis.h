// Which keys a namespace may hold: a split-block Bloom filter.
//
// Each key sets eight bits, one in each 32-bit lane of one 256-bit block, so a
// lookup touches one cache line. No false negatives, ever; false positives
// stay below 1 % up to `keys_max` keys.
#ifndef LARDER_CACHE_L2_SYNOPSIS_H_
#define LARDER_CACHE_L2_SYNOPSIS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::cache::l2 {

// One writer (the committer) beside any number of readers: MayContain() is
// thread-safe; everything else belongs to the committer.
class Synopsis {
 public:
  // Source: 13 bits a key give 0.4 to 0.7 % false positives in split blocks of
  // 256 bits; measured by synopsis_test.
  static constexpr uint64_t kBitsPerKey = 13;
  static constexpr uint64_t kBlockBytes = 32;
  // A chunk is what one leaf entry holds; two fit a 4 KiB page.
  static constexpr uint64_t kChunkBlocks = 58;
  static constexpr uint64_t kChunkBytes = kChunkBlocks * kBlockBytes;

  // Sized for `keys_max` keys (at least 1,024 are assumed).
  explicit Synopsis(uint64_t keys_max);

  // Keys go by the NameHash() of their name.
  bool MayContain(uint64_t name_hash) const;
  void Add(uint64_t name_hash);

  uint64_t keys_max() const { return keys_max_; }
  uint64_t bytes() const { return blocks_ * kBlockBytes; }

  // Chunks as stored. A chunk that was never loaded reads as zeros, so load
  // all of them before the first lookup.
  uint64_t chunks() const {
    return (blocks_ + kChunkBlocks - 1) / kChunkBlocks;
  }
  std::string Chunk(uint64_t i) const;
  // False when the size is not Chunk(i)'s.
  bool LoadChunk(uint64_t i, absl::string_view bytes);
  // Answers "maybe" for every key of the chunk (its stored bytes are lost).
  void FillChunk(uint64_t i);

  // Chunks that Add() changed since the last call.
  std::vector<uint64_t> TakeDirtyChunks();
  void MarkAllDirty();

 private:
  uint64_t BlockOf(uint64_t name_hash) const {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>(name_hash) * blocks_) >> 64);
  }
  uint64_t ChunkBlocks(uint64_t i) const;

  const uint64_t keys_max_;
  const uint64_t blocks_;
  std::unique_ptr<std::atomic<uint32_t>[]> words_;  // blocks_ * 8.
  std::vector<bool> dirty_;                         // By chunk.
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SYNOPSIS_H_
