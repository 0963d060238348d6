#include "backup/internal/giving_way.h"

#include <sys/resource.h>

#include <system_error>
#include <thread>

namespace larder::backup_internal {
namespace {

// The lowest there is; 10 was no help (docs/adr/0013-backups-give-way.md).
constexpr int kNice = 19;

}  // namespace

void GivingWay::Repeat(absl::FunctionRef<bool()> step) const {
  bool more = true;
  const auto give_way = [&] {
    // In Linux the niceness is a thread's, and 0 is the calling one. Only a
    // filter of system calls refuses to lower a priority; then all goes on as
    // it is.
    (void)setpriority(PRIO_PROCESS, 0, kNice);
    while (more && on()) more = step();
  };
  if (on()) {
    std::thread thread;
    try {
      thread = std::thread(give_way);
    } catch (const std::system_error&) {
      // No thread is to be had: then it does not give way.
    }
    if (thread.joinable()) thread.join();
  }
  while (more) more = step();
}

}  // namespace larder::backup_internal
