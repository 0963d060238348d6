// A read-only mapping of a file whose unreadable pages read as zeros instead of
// ending the process.
//
// A mapped page that the disk cannot read any more, or that another program
// cut off, raises SIGBUS. The handler that the first mapping installs puts a
// page of zeros in its place and counts it. Zeros match no checksum, so what
// was there becomes a miss like any other damage. SIGBUS elsewhere goes to
// whoever handled it before.
#ifndef LARDER_CACHE_L2_GUARDED_MAPPING_H_
#define LARDER_CACHE_L2_GUARDED_MAPPING_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Thread-safe. A program that installs a handler of its own for SIGBUS, after
// the first mapping, takes it away from all of them.
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

  // How often a page was found unreadable.
  int64_t unreadable_pages() const {
    return found_.load(std::memory_order_relaxed);
  }
  // To be called when [offset, offset + length) was written to: pages that read
  // as zeros there show the file again. Costs an atomic load mostly.
  void NoteWritten(uint64_t offset, uint64_t length) {
    if (zeros_.load(std::memory_order_seq_cst) > 0) Restore(offset, length);
  }

 private:
  friend class MappingRegistry;

  GuardedMapping(int descriptor, const char* data, uint64_t bytes)
      : descriptor_(descriptor), data_(data), bytes_(bytes) {}

  // Async-signal-safe. Returns: whether it could be done.
  bool ShowZerosAt(uint64_t page);
  void Restore(uint64_t offset, uint64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  // Returns: whether it could be done.
  bool ShowFileAt(uint64_t first_page, uint64_t pages);

  // Pages that can be told from the rest when they are written to. Once there
  // were more, whatever is written to is mapped anew.
  static constexpr int kZerosMax = 256;

  const int descriptor_;  // Not owned.
  const char* const data_;
  const uint64_t bytes_;
  int slot_ = -1;  // In the registry.
  Mutex mu_;       // One Restore() at a time.
  // Written by the handler: 0, or twice a page's number plus 1, plus 1 more as
  // soon as it reads as zeros.
  std::atomic<uint64_t> pages_[kZerosMax] = {};
  // How many of them are not 0, and pages that found no place there.
  std::atomic<int64_t> zeros_{0};
  std::atomic<bool> is_full_{false};
  std::atomic<int64_t> found_{0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_GUARDED_MAPPING_H_
