#include "cache/l2/synopsis.h"

#include <algorithm>
#include <cstring>

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kKeysMin = 1024;
constexpr int kLanes = 8;
// Odd multipliers, one a lane; arbitrary, part of the format.
constexpr uint32_t kSalt[kLanes] = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU,
                                    0xa2b7289dU, 0x705495c7U, 0x2df1424bU,
                                    0x9efc4947U, 0x5c6bfb31U};

uint32_t LaneBit(uint64_t name_hash, int lane) {
  // The low half picks the bits; the high half picked the block.
  return uint32_t{1} << ((static_cast<uint32_t>(name_hash) * kSalt[lane]) >>
                         27);
}

}  // namespace

Synopsis::Synopsis(uint64_t keys_max)
    : keys_max_(std::max(keys_max, kKeysMin)),
      blocks_((keys_max_ * kBitsPerKey + 255) / 256),
      words_(new std::atomic<uint32_t>[blocks_ * kLanes]()),
      dirty_(chunks(), false) {}

bool Synopsis::MayContain(uint64_t name_hash) const {
  const std::atomic<uint32_t>* block = &words_[BlockOf(name_hash) * kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((block[lane].load(std::memory_order_relaxed) &
         LaneBit(name_hash, lane)) == 0) {
      return false;
    }
  }
  return true;
}

void Synopsis::Add(uint64_t name_hash) {
  const uint64_t block_index = BlockOf(name_hash);
  std::atomic<uint32_t>* block = &words_[block_index * kLanes];
  bool changed = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const uint32_t old = block[lane].load(std::memory_order_relaxed);
    const uint32_t bits = old | LaneBit(name_hash, lane);
    if (bits != old) {
      block[lane].store(bits, std::memory_order_relaxed);
      changed = true;
    }
  }
  if (changed) dirty_[block_index / kChunkBlocks] = true;
}

uint64_t Synopsis::ChunkBlocks(uint64_t i) const {
  return std::min(kChunkBlocks, blocks_ - i * kChunkBlocks);
}

std::string Synopsis::Chunk(uint64_t i) const {
  std::string out(ChunkBlocks(i) * kBlockBytes, '\0');
  const std::atomic<uint32_t>* from = &words_[i * kChunkBlocks * kLanes];
  for (size_t w = 0; w < out.size() / 4; ++w) {
    const uint32_t v = from[w].load(std::memory_order_relaxed);
    std::memcpy(out.data() + w * 4, &v, 4);
  }
  return out;
}

bool Synopsis::LoadChunk(uint64_t i, absl::string_view bytes) {
  if (i >= chunks() || bytes.size() != ChunkBlocks(i) * kBlockBytes) {
    return false;
  }
  std::atomic<uint32_t>* to = &words_[i * kChunkBlocks * kLanes];
  for (size_t w = 0; w < bytes.size() / 4; ++w) {
    uint32_t v;
    std::memcpy(&v, bytes.data() + w * 4, 4);
    to[w].store(v, std::memory_order_relaxed);
  }
  return true;
}

void Synopsis::FillChunk(uint64_t i) {
  std::atomic<uint32_t>* to = &words_[i * kChunkBlocks * kLanes];
  for (uint64_t w = 0; w < ChunkBlocks(i) * kLanes; ++w) {
    to[w].store(~uint32_t{0}, std::memory_order_relaxed);
  }
}

std::vector<uint64_t> Synopsis::TakeDirtyChunks() {
  std::vector<uint64_t> taken;
  for (uint64_t i = 0; i < dirty_.size(); ++i) {
    if (dirty_[i]) taken.push_back(i);
    dirty_[i] = false;
  }
  return taken;
}

void Synopsis::MarkAllDirty() { dirty_.assign(dirty_.size(), true); }

}  // namespace larder::cache::l2
