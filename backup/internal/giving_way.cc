#include "backup/internal/giving_way.h"

#include <sys/resource.h>

#include <thread>

namespace larder::backup_internal {
namespace {

// The lowest there is. A thread of nice 10 keeps a tenth of a core, and
// finishes the turn that it has begun: that was no help (docs/bench/backup.md).
constexpr int kNice = 19;

}  // namespace

void GivingWay::Repeat(absl::FunctionRef<bool()> step) const {
  bool more = true;
  if (on()) {
    std::thread([&] {
      // In Linux the niceness is a thread's, and 0 is the calling one. Only a
      // filter of system calls refuses to lower a priority; then all goes on
      // as it is.
      (void)setpriority(PRIO_PROCESS, 0, kNice);
      while (more && on()) more = step();
    }).join();
  }
  while (more) more = step();
}

}  // namespace larder::backup_internal
