// A read-only mapping of a file whose unreadable pages read as zeros instead of
// ending the process.
//
// A mapped page that the disk cannot read any more, or that another program
// cut off, raises SIGBUS. The handler that the first mapping installs puts a
// page of its own in its place and counts it: a copy of what can be read after
// all (a page may share its fault with a bad neighbour in the page cache), else
// zeros. Zeros match no checksum, so what was there becomes a miss like any
// other damage. SIGBUS elsewhere goes to whoever handled it before.
//
// Invariants:
// 1. What reads as zeros does so until it is written to. So bytes were no such
//    zeros if what they belong to is found sound after they were read.
// 2. What is written and then noted is shown, whatever happens beside it, as
//    long as no more pages are unreadable than have a place of their own.
// 3. Each such page splits the mapping, and a process may have but so many
//    (vm.max_map_count, 65,530). So beyond kPagesMax unreadable pages the whole
//    block around the next one, 1/kBlocks of the mapping, reads as zeros; when
//    there is no mapping left to be had, all of it does. That is a miss for all
//    in it that could still be read. Of what is written there later kLitMax
//    pages show again; the others are misses until the file is opened anew. A
//    mapping so takes at most 2 * (kPagesMax + kBlocks + kLitMax) + 1 = 10,369.
#ifndef LARDER_CACHE_L2_GUARDED_MAPPING_H_
#define LARDER_CACHE_L2_GUARDED_MAPPING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"

namespace larder::cache::l2 {

// Thread-safe; no signal handler may read the bytes. A program that installs a
// handler of its own for SIGBUS, after the first mapping, takes it away from
// all of them.
class GuardedMapping {
 public:
  // Mappings that a process may have at once. Source: two for each open L2; a
  // slot is 24 bytes.
  static constexpr int kMappingsMax = 1024;

  // Maps `bytes` (> 0) from the start of the file; `path` serves messages only.
  // Errors: kResourceExhausted at kMappingsMax; what mmap() says.
  static absl::StatusOr<std::unique_ptr<GuardedMapping>> Map(
      int descriptor, uint64_t bytes, const std::string& path);
  ~GuardedMapping();
  GuardedMapping(const GuardedMapping&) = delete;
  GuardedMapping& operator=(const GuardedMapping&) = delete;

  const char* data() const { return data_; }
  uint64_t size() const { return bytes_; }

  // How often a page was found unreadable. A block that is hidden counts once.
  int64_t unreadable_pages() const {
    return found_.load(std::memory_order_relaxed);
  }
  // To be called when [offset, offset + length) was written to: pages that read
  // as zeros there show the file again. Costs an atomic load mostly.
  void NoteWritten(uint64_t offset, uint64_t length) {
    // The handler marks first and reads then, who calls this wrote first: so
    // either this sees the mark, or the handler reads what was written.
    if (hides_.load(std::memory_order_seq_cst)) Restore(offset, length);
  }

  // See invariant 3.
  static constexpr int kPagesMax = 1024;
  static constexpr int kBlocks = 64;
  static constexpr size_t kLitMax = 4096;

 private:
  friend class MappingRegistry;

  GuardedMapping(int descriptor, const char* data, uint64_t bytes);

  // For the handler: async-signal-safe. Each returns whether it could be done.
  bool ReplacePage(uint64_t page);
  bool ShowCopy(uint64_t page);
  bool ShowZeros(uint64_t first_page, uint64_t pages);
  bool HideAround(uint64_t page);
  bool ReadPage(uint64_t page, char* to) const;

  void Restore(uint64_t offset, uint64_t length);
  // Those of the pages whose block is hidden.
  void Light(uint64_t first_page, uint64_t last_page);
  bool ShowFile(uint64_t first_page, uint64_t pages);
  bool IsHidden(uint64_t page) const {
    return (hidden_blocks_ >> (page / block_pages_) & 1) != 0;
  }

  const int descriptor_;  // Not owned.
  const char* const data_;
  const uint64_t bytes_;
  const uint64_t pages_;
  const uint64_t block_pages_;
  int slot_ = -1;  // In the registry.

  // Held by the handler, or by who writes, while they change the mapping. No
  // Mutex: that is not for a handler. A thread that holds it does not touch the
  // mapped bytes, so it never waits for itself.
  std::atomic<bool> is_busy_{false};
  // While it is held: the pages that were replaced one by one, how many they
  // are, and the blocks that read as zeros, one a bit.
  uint64_t replaced_[kPagesMax];
  int replaced_count_ = 0;
  uint64_t hidden_blocks_ = 0;
  absl::flat_hash_set<uint64_t>
      lit_;  // Pages that show again in hidden blocks.

  // Whether there is anything of that, or may be soon.
  std::atomic<bool> hides_{false};
  std::atomic<int64_t> found_{0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_GUARDED_MAPPING_H_
