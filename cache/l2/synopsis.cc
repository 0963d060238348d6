#include "cache/l2/synopsis.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kKeysMin = 1024;
constexpr int kLanes = 8;
// Odd multipliers, one a lane; arbitrary, part of the format.
constexpr uint32_t kSalt[kLanes] = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU,
                                    0xa2b7289dU, 0x705495c7U, 0x2df1424bU,
                                    0x9efc4947U, 0x5c6bfb31U};
static_assert(SynopsisShape::kBlockBytes == kLanes * sizeof(uint32_t));

uint32_t LaneBit(uint64_t name_hash, int lane) {
  // The low half picks the bits; the high half picked the block.
  return uint32_t{1} << ((static_cast<uint32_t>(name_hash) * kSalt[lane]) >>
                         27);
}

uint32_t LaneOf(const char* block, int lane) {
  uint32_t bits;
  std::memcpy(&bits, block + lane * sizeof(bits), sizeof(bits));
  return bits;
}

// Has every key, however many blocks it is taken to have.
constexpr auto kFullChunk = [] {
  std::array<char, SynopsisShape::kChunkBytes> bytes{};
  bytes.fill('\xff');
  return bytes;
}();

}  // namespace

SynopsisShape::SynopsisShape(uint64_t keys_max)
    : keys_max_(std::max(keys_max, kKeysMin)),
      blocks_((keys_max_ * kBitsPerKey + 255) / 256) {}

uint64_t SynopsisShape::ChunkBytes(uint64_t chunk) const {
  return std::min(kChunkBlocks, blocks_ - chunk * kChunkBlocks) * kBlockBytes +
         1;
}

bool SynopsisBlockHas(const char* block, uint64_t name_hash) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((LaneOf(block, lane) & LaneBit(name_hash, lane)) == 0) return false;
  }
  return true;
}

bool AddToSynopsisBlock(char* block, uint64_t name_hash) {
  bool changed = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const uint32_t old = LaneOf(block, lane);
    const uint32_t bits = old | LaneBit(name_hash, lane);
    changed |= bits != old;
    std::memcpy(block + lane * sizeof(bits), &bits, sizeof(bits));
  }
  return changed;
}

bool SynopsisBlockIsEmpty(const char* block) {
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= LaneOf(block, lane);
  return bits == 0;
}

Synopsis::Synopsis(uint64_t keys_max)
    : shape_(keys_max),
      chunks_(new std::atomic<const char*>[shape_.chunks()]()) {}

std::string Synopsis::CopyChunk(uint64_t chunk, FindChunk find) const {
  std::string copy(Find(chunk, find), shape_.ChunkBytes(chunk));
  if (!IsWhole(chunk, copy.data())) copy.assign(copy.size(), '\xff');
  return copy;
}

const char* Synopsis::Load(uint64_t chunk, FindChunk find) const {
  const char* found = find(chunk);
  if (found == nullptr || !IsWhole(chunk, found)) found = kFullChunk.data();
  // Where a commit moved it meanwhile, later readers must go there; this one
  // still sees the root that it asked.
  const char* nobody = nullptr;
  chunks_[chunk].compare_exchange_strong(nobody, found,
                                         std::memory_order_seq_cst);
  return found;
}

}  // namespace larder::cache::l2
