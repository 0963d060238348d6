// What the cache must hold, computed from what was done to it.
#ifndef LARDER_TOOLS_DEMO_MODEL_H_
#define LARDER_TOOLS_DEMO_MODEL_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/mutex.h"

namespace larder::demo {

// Thread-safe. Remembers every mutation; a mutation is in the cache at epoch E
// if its epoch is at most E, and of two on one key the newer HLC wins.
class Model {
 public:
  struct Put {
    int32_t file = 0;      // Index into Corpus::files: the content.
    int64_t ttl_ms = 0;    // 0: never expires.
    std::string tag = {};  // Empty: none.
  };

  void OnPut(absl::string_view ns, absl::string_view key, const Put& put,
             const cache::Mutation& mutation) ABSL_LOCKS_EXCLUDED(mu_);
  void OnDelete(absl::string_view ns, absl::string_view key,
                const cache::Mutation& mutation) ABSL_LOCKS_EXCLUDED(mu_);
  void OnFlush(absl::string_view ns, const cache::Mutation& mutation)
      ABSL_LOCKS_EXCLUDED(mu_);
  void OnInvalidateTag(absl::string_view ns, absl::string_view tag,
                       const cache::Mutation& mutation)
      ABSL_LOCKS_EXCLUDED(mu_);

  // (namespace, key) -> index of the file with its content.
  using Contents = std::map<std::pair<std::string, std::string>, int32_t>;

  // What is valid at `epoch`, for who looks at `now_unix_ms`.
  Contents ContentsAt(uint64_t epoch, int64_t now_unix_ms) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The last expiry of those that expire before `horizon_unix_ms`, or 0.
  int64_t LastExpiryBefore(int64_t horizon_unix_ms) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Version {
    cache::Mutation mutation;
    int32_t file = -1;  // -1: deleted.
    int64_t expires_at_unix_ms = 0;
    std::string tag = {};
  };
  // "Everything of `ns`, with `tag` unless that is empty, up to here."
  struct Invalidation {
    std::string ns;
    std::string tag = {};
    cache::Mutation mutation;
  };

  bool Invalidated(absl::string_view ns, const Version& version,
                   uint64_t epoch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable cache::Mutex mu_;
  absl::flat_hash_map<std::pair<std::string, std::string>, std::vector<Version>>
      versions_ ABSL_GUARDED_BY(mu_);
  std::vector<Invalidation> invalidations_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_MODEL_H_
