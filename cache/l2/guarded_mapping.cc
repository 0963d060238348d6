#include "cache/l2/guarded_mapping.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/file_status.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kPage = 4096;

struct sigaction previous_handler;  // Written once, before ours is installed.

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
  // Async-signal-safe. Returns: whether the address is in a mapping, and now
  // reads as zeros.
  static bool ShowZerosAt(uintptr_t address);

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

bool MappingRegistry::ShowZerosAt(uintptr_t address) {
  for (Slot& slot : slots_) {
    const uintptr_t end = slot.end.load();
    if (address >= end || address < slot.begin.load()) continue;
    GuardedMapping* const mapping = slot.mapping.load();
    if (mapping == nullptr) continue;
    return mapping->ShowZerosAt((address - slot.begin.load()) / kPage);
  }
  return false;
}

namespace {

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool ours =
      MappingRegistry::ShowZerosAt(reinterpret_cast<uintptr_t>(info->si_addr));
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
    sigemptyset(&ours.sa_mask);
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

// The page is noted before it is shown as zeros: who writes to it meanwhile
// waits for that and undoes it. Two threads may come for one page; then it is
// noted twice, and shown twice.
bool GuardedMapping::ShowZerosAt(uint64_t page) {
  // Somebody may have written to it since: then it can be read.
  char byte;
  if (::pread(descriptor_, &byte, 1, static_cast<off_t>(page * kPage)) == 1) {
    return true;
  }
  std::atomic<uint64_t>* noted = nullptr;
  for (std::atomic<uint64_t>& entry : pages_) {
    uint64_t empty = 0;
    if (!entry.compare_exchange_strong(empty, 2 * page + 1)) continue;
    noted = &entry;
    break;
  }
  if (noted == nullptr) is_full_.store(true);
  zeros_.fetch_add(1);
  found_.fetch_add(1, std::memory_order_relaxed);
  // Not mmap(): that is nobody's to call from a handler, the system call is.
  const long shown = syscall(SYS_mmap, data_ + page * kPage, kPage, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (noted != nullptr) noted->store(2 * page + 2);
  return shown != -1;
}

bool GuardedMapping::ShowFileAt(uint64_t first_page, uint64_t pages) {
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
  MutexLock lock(&mu_);
  for (std::atomic<uint64_t>& entry : pages_) {
    const uint64_t noted = entry.load();
    if (noted == 0) continue;
    const uint64_t page = (noted - 1) / 2;
    if (page < first || page > last) continue;
    while (entry.load() == 2 * page + 1) std::this_thread::yield();
    if (!ShowFileAt(page, 1)) continue;
    entry.store(0);
    zeros_.fetch_sub(1);
  }
  if (is_full_.load()) ShowFileAt(first, last - first + 1);
}

}  // namespace larder::cache::l2
