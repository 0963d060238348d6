#include "cache/blob.h"

#include <malloc.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace {

// Bytes that malloc holds for this thread's live objects, headers included.
thread_local size_t live_bytes = 0;

size_t BlockBytes(void* block) { return malloc_usable_size(block) + 8; }

}  // namespace

void* operator new(size_t bytes) {
  void* block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  live_bytes += BlockBytes(block);
  return block;
}
void operator delete(void* block) noexcept {
  if (block == nullptr) return;
  live_bytes -= BlockBytes(block);
  std::free(block);
}
void operator delete(void* block, size_t) noexcept { operator delete(block); }

namespace larder::cache {
namespace {

BlobAttributes Attributes() {
  BlobAttributes attributes;
  attributes.tags = {"short", std::string(100, 't')};
  attributes.dependencies = {std::string(16, 'd')};
  attributes.metadata = {{"content-type", "text/plain; charset=utf-8"}};
  attributes.invalidation_hashes = {1, 2, 3};
  return attributes;
}

// A malloc block may be one step larger than asked for.
constexpr double kStepBytes = 16;

TEST(BlobTest, MemoryBytesIsWhatMallocTakes) {
  for (const size_t bytes : {0, 15, 16, 1000, 100'000}) {
    for (const bool attributes : {false, true}) {
      const size_t before = live_bytes;
      auto blob = std::make_shared<const Blob>(
          attributes ? Attributes() : BlobAttributes(),
          std::string(bytes, 'x'));
      EXPECT_NEAR(blob->MemoryBytes(), live_bytes - before, kStepBytes)
          << bytes << " bytes, attributes " << attributes;
    }
  }
}

TEST(BlobTest, BorrowedBytesAreNotCounted) {
  auto owner = std::make_shared<const std::string>(50'000, 'x');
  const Blob blob({}, *owner, owner);
  EXPECT_FALSE(blob.owns_bytes());
  EXPECT_EQ(blob.bytes().size(), 50'000u);
  EXPECT_LT(blob.MemoryBytes(), 1000u);
  EXPECT_EQ(owner.use_count(), 2);
}

}  // namespace
}  // namespace larder::cache
