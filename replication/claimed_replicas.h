// Which replica each sink of a backup has reached, so that none counts twice.
#ifndef LARDER_REPLICATION_CLAIMED_REPLICAS_H_
#define LARDER_REPLICATION_CLAIMED_REPLICAS_H_

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "cache/mutex.h"

namespace larder::replication {

// Thread-safe. Holds an id (replica_id.h) for each sink.
class ClaimedReplicas {
 public:
  // Books that `sink` has reached the replica `id`, and no other any more.
  // Returns: false, and books nothing, when another sink has reached it.
  bool Claim(const void* sink, absl::string_view id) ABSL_LOCKS_EXCLUDED(mu_) {
    cache::MutexLock lock(&mu_);
    for (const auto& [other, claimed] : claims_) {
      if (other != sink && claimed == id) return false;
    }
    claims_[sink] = std::string(id);
    return true;
  }
  void Release(const void* sink) ABSL_LOCKS_EXCLUDED(mu_) {
    cache::MutexLock lock(&mu_);
    claims_.erase(sink);
  }

 private:
  cache::Mutex mu_;
  std::map<const void*, std::string> claims_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_CLAIMED_REPLICAS_H_
