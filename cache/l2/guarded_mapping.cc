#include "cache/l2/guarded_mapping.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/file_status.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kPage = 4096;

struct sigaction previous_handler;  // Written once, before ours is installed.

// Waits for the flag, sets it, and clears it when destroyed.
class BusyGuard {
 public:
  explicit BusyGuard(std::atomic<bool>* is_busy) : is_busy_(*is_busy) {
    while (is_busy_.exchange(true, std::memory_order_acquire)) sched_yield();
  }
  BusyGuard(const BusyGuard&) = delete;
  BusyGuard& operator=(const BusyGuard&) = delete;
  ~BusyGuard() { is_busy_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool>& is_busy_;
};

}  // namespace

// What the handler may look at: no locks, no allocation. A slot is in use when
// its end is not 0; it is filled from the mapping on and emptied from the end
// on, so that who sees an end sees the rest.
class MappingRegistry {
 public:
  struct Slot {
    std::atomic<uintptr_t> begin{0};
    std::atomic<uintptr_t> end{0};
    std::atomic<GuardedMapping*> mapping{nullptr};
  };

  // Returns: whether there was a free slot.
  static bool Add(GuardedMapping* mapping);
  static void Remove(GuardedMapping* mapping);
  // Async-signal-safe. Returns: whether the address is in a mapping, and can
  // now be read.
  static bool ReplacePageAt(uintptr_t address);

 private:
  static Slot slots_[GuardedMapping::kMappingsMax];
};

MappingRegistry::Slot MappingRegistry::slots_[GuardedMapping::kMappingsMax];

bool MappingRegistry::Add(GuardedMapping* mapping) {
  for (int i = 0; i < GuardedMapping::kMappingsMax; ++i) {
    Slot& slot = slots_[i];
    GuardedMapping* empty = nullptr;
    if (!slot.mapping.compare_exchange_strong(empty, mapping)) continue;
    const auto begin = reinterpret_cast<uintptr_t>(mapping->data_);
    slot.begin.store(begin);
    slot.end.store(begin + mapping->bytes_);
    mapping->slot_ = i;
    return true;
  }
  return false;
}

void MappingRegistry::Remove(GuardedMapping* mapping) {
  Slot& slot = slots_[mapping->slot_];
  slot.end.store(0);
  slot.begin.store(0);
  slot.mapping.store(nullptr);
}

bool MappingRegistry::ReplacePageAt(uintptr_t address) {
  for (Slot& slot : slots_) {
    const uintptr_t end = slot.end.load();
    if (address >= end || address < slot.begin.load()) continue;
    GuardedMapping* const mapping = slot.mapping.load();
    if (mapping == nullptr) continue;
    return mapping->ReplacePage((address - slot.begin.load()) / kPage);
  }
  return false;
}

namespace {

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool ours = MappingRegistry::ReplacePageAt(
      reinterpret_cast<uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (ours) return;  // The access is made again, and succeeds.
  if ((previous_handler.sa_flags & SA_SIGINFO) != 0) {
    previous_handler.sa_sigaction(signal, info, context);
  } else if (previous_handler.sa_handler != SIG_DFL &&
             previous_handler.sa_handler != SIG_IGN) {
    previous_handler.sa_handler(signal);
  } else {
    // The access is made again, without us.
    ::signal(SIGBUS, SIG_DFL);
  }
}

void InstallHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction ours = {};
    ours.sa_sigaction = OnBusError;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigfillset(&ours.sa_mask);  // Nobody comes between while it is busy.
    LARDER_CHECK(sigaction(SIGBUS, nullptr, &previous_handler) == 0);
    LARDER_CHECK(sigaction(SIGBUS, &ours, nullptr) == 0);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuardedMapping>> GuardedMapping::Map(
    int descriptor, uint64_t bytes, const std::string& path) {
  InstallHandler();
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ,
                              MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (mapped == MAP_FAILED) return RangeError(path, "map", 0, bytes, errno);
  std::unique_ptr<GuardedMapping> mapping(
      new GuardedMapping(descriptor, static_cast<const char*>(mapped), bytes));
  if (MappingRegistry::Add(mapping.get())) return mapping;
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": map: already ", kMappingsMax, " files are mapped"));
}

GuardedMapping::~GuardedMapping() {
  if (slot_ >= 0) MappingRegistry::Remove(this);
  ::munmap(const_cast<char*>(data_), bytes_);
}

GuardedMapping::GuardedMapping(int descriptor, const char* data, uint64_t bytes)
    : descriptor_(descriptor),
      data_(data),
      bytes_(bytes),
      pages_((bytes + kPage - 1) / kPage),
      block_pages_((pages_ + kBlocks - 1) / kBlocks) {}

// Marked before it is known whether the page can be read: who writes to it
// meanwhile waits for the end of this and undoes it.
bool GuardedMapping::ReplacePage(uint64_t page) {
  const BusyGuard guard(&is_busy_);
  uint64_t* const end = replaced_ + replaced_count_;
  // By another thread, which came first.
  if (std::find(replaced_, end, page) != end) return true;
  hides_.store(true, std::memory_order_seq_cst);
  const bool has_place = replaced_count_ < kPagesMax;
  // In a hidden block, one page splits no more than it did when it was lit.
  if (has_place || IsHidden(page)) {
    bool shown = ShowCopy(page);
    if (!shown) {
      found_.fetch_add(1, std::memory_order_relaxed);
      shown = ShowZeros(page, 1);
    }
    if (shown && has_place) replaced_[replaced_count_++] = page;
    if (shown) return true;
  } else {
    found_.fetch_add(1, std::memory_order_relaxed);
  }
  return HideAround(page);
}

bool GuardedMapping::HideAround(uint64_t page) {
  const uint64_t block = page / block_pages_;
  const uint64_t first = block * block_pages_;
  hidden_blocks_ |= uint64_t{1} << block;
  if (ShowZeros(first, std::min(block_pages_, pages_ - first))) return true;
  // All of it splits nothing, so it needs no further mapping.
  hidden_blocks_ = ~uint64_t{0};
  return ShowZeros(0, pages_);
}

// Below, system calls by their numbers: what stands behind the functions (a
// sanitizer, say) is nobody's to call from a handler.

bool GuardedMapping::ReadPage(uint64_t page, char* to) const {
  uint64_t done = 0;
  while (done < kPage) {
    const int64_t count = syscall(SYS_pread64, descriptor_, to + done,
                                  kPage - done, page * kPage + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    if (count == 0) break;  // The end of the file.
    done += static_cast<uint64_t>(count);
  }
  return done > 0;
}

// Filled elsewhere first: zeros that nobody wrote to must not become content
// (invariant 1).
bool GuardedMapping::ShowCopy(uint64_t page) {
  const int64_t mapped =
      syscall(SYS_mmap, nullptr, kPage, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == -1) return false;
  char* const copy = reinterpret_cast<char*>(mapped);
  if (ReadPage(page, copy) &&
      syscall(SYS_mprotect, copy, kPage, PROT_READ) == 0 &&
      syscall(SYS_mremap, copy, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
              data_ + page * kPage) != -1) {
    return true;
  }
  syscall(SYS_munmap, copy, kPage);
  return false;
}

bool GuardedMapping::ShowZeros(uint64_t first_page, uint64_t pages) {
  return syscall(SYS_mmap, data_ + first_page * kPage, pages * kPage, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                 0) != -1;
}

bool GuardedMapping::ShowFile(uint64_t first_page, uint64_t pages) {
  const void* const mapped =
      ::mmap(const_cast<char*>(data_ + first_page * kPage), pages * kPage,
             PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, descriptor_,
             static_cast<off_t>(first_page * kPage));
  return mapped != MAP_FAILED;
}

// What cannot be mapped goes on reading as zeros, which match no checksum.
void GuardedMapping::Restore(uint64_t offset, uint64_t length) {
  if (length == 0 || offset >= bytes_) return;
  const uint64_t first = offset / kPage;
  const uint64_t last = (std::min(offset + length, bytes_) - 1) / kPage;
  const BusyGuard guard(&is_busy_);
  for (int i = 0; i < replaced_count_;) {
    const uint64_t page = replaced_[i];
    if (page < first || page > last || !ShowFile(page, 1)) {
      ++i;
      continue;
    }
    replaced_[i] = replaced_[--replaced_count_];
  }
  if (hidden_blocks_ != 0) Light(first, last);
  hides_.store(replaced_count_ > 0 || hidden_blocks_ != 0,
               std::memory_order_seq_cst);
}

void GuardedMapping::Light(uint64_t first_page, uint64_t last_page) {
  for (uint64_t page = first_page; page <= last_page; ++page) {
    if (!IsHidden(page)) continue;
    if (lit_.size() >= kLitMax && !lit_.contains(page)) continue;
    if (ShowFile(page, 1)) lit_.insert(page);
  }
}

}  // namespace larder::cache::l2
