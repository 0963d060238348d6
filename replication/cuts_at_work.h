// Cuts the connections of one transfer while the replica is at work on the
// whole dump, and counts what it says of that meanwhile.
#ifndef LARDER_REPLICATION_CUTS_AT_WORK_H_
#define LARDER_REPLICATION_CUTS_AT_WORK_H_

#include <atomic>

#include "replication/loopback.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// Thread-safe. Takes both hooks of `network`, which must be quiet when this
// goes.
class CutsAtWork {
 public:
  explicit CutsAtWork(LoopbackNetwork* network) {
    network->on_request = [this](const TransferRequest& request) {
      hellos_ += request.has_hello() ? 1 : 0;
      return Fate::kArrives;
    };
    network->on_reply = [this](const TransferReply& reply) {
      // What the first connection says once it is cut goes nowhere.
      const bool is_first = reply.progress().received_bytes() > 0;
      if (!reply.has_progress() || is_first != (hellos_ == 1)) {
        return Fate::kArrives;
      }
      // The replica is at work on the first one, and would not see a cut.
      if (cut_.exchange(false)) return is_first ? Fate::kHalfOpen : Fate::kCut;
      ++beats_;
      return Fate::kArrives;
    };
  }
  CutsAtWork(const CutsAtWork&) = delete;
  CutsAtWork& operator=(const CutsAtWork&) = delete;

  // With the next thing that the replica says.
  void CutNext() { cut_ = true; }
  int beats() const { return beats_; }
  int hellos() const { return hellos_; }

 private:
  std::atomic<int> beats_ = 0, hellos_ = 0;
  std::atomic<bool> cut_ = false;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_CUTS_AT_WORK_H_
