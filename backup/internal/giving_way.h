// Long work that gives way to other threads of the process that want a core,
// for as long as it can afford that.
#ifndef LARDER_BACKUP_INTERNAL_GIVING_WAY_H_
#define LARDER_BACKUP_INTERNAL_GIVING_WAY_H_

#include <atomic>

#include "absl/functional/function_ref.h"

namespace larder::backup_internal {

// Shared by all threads of one backup. Thread-safe.
//
// A thread of nice 19 (sched(7)) waits whenever one of usual priority wakes up,
// and gets some 1.5 % of a core that another one wants all the time; of
// processes in other sessions or cgroups it takes no notice. Not everybody may
// raise a priority again; so the work goes on in another thread instead.
class GivingWay {
 public:
  explicit GivingWay(bool on) : on_(on) {}

  bool on() const { return on_.load(std::memory_order_relaxed); }
  // From the next step on nothing gives way any more; a step that waits for
  // something is still to come to its end. Wakes nobody.
  void End() { on_.store(false, std::memory_order_relaxed); }

  // Runs `step` until it returns false: in a thread of low priority while this
  // is on, and in the calling one from then on. One step at a time.
  void Repeat(absl::FunctionRef<bool()> step) const;

 private:
  std::atomic<bool> on_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_GIVING_WAY_H_
