// What a cache must hold, worked out from the mutations that it acknowledged.
#ifndef LARDER_TESTS_SUPPORT_HISTORY_H_
#define LARDER_TESTS_SUPPORT_HISTORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cache/blob_cache.h"
#include "cache/hlc.h"
#include "cache/policy.h"

namespace larder::tests {

// One acknowledged mutation. A plain value.
struct LoggedMutation {
  enum class Kind { kPut, kDelete, kPrefix, kTag, kDependency, kFlush };
  Kind kind = Kind::kPut;
  std::string ns;
  std::string name;  // Key, prefix, tag or dependency; of a flush, nothing.
  cache::Mutation at;
  // Of a put.
  uint64_t content = 0;
  cache::PutOptions options = {};
};

// A blob as it must be. A plain value.
struct Expected {
  uint64_t content = 0;
  cache::Hlc hlc;
  cache::PutOptions options;
};
// By namespace and key.
using Contents = std::map<std::pair<std::string, std::string>, Expected>;

// Whether the mutation replaces or invalidates the blob, which is older.
bool Covers(const LoggedMutation& mutation, const std::string& ns,
            const std::string& key, const Expected& blob);
// The same of the blob that `put` put.
bool Covers(const LoggedMutation& mutation, const LoggedMutation& put);

// Applies a mutation to contents in which everything is older.
void Apply(const LoggedMutation& mutation, Contents* contents);

// `base`, then the mutations of epochs up to `epoch` in the order of their HLC:
// what a snapshot of that epoch must hold, but for what expires. A blob that an
// invalidation with a newer HLC matches is gone.
Contents ContentsAt(uint64_t epoch, std::vector<LoggedMutation> mutations,
                    Contents base = {});

// The newest flush, and the newest invalidation of each prefix, tag and
// dependency: what reaches blobs of an older backup. Deletions of single keys
// do not. A plain value.
class Invalidations {
 public:
  // Ignores what is no such invalidation.
  void Add(const LoggedMutation& mutation);
  void Merge(const Invalidations& other);

  // Whether the blob is as old as one that matches it, or older.
  bool Cover(const std::string& ns, const std::string& key,
             const Expected& blob) const;
  std::vector<LoggedMutation> List() const;

 private:
  // By kind, namespace and name.
  std::map<std::tuple<LoggedMutation::Kind, std::string, std::string>,
           cache::Hlc>
      newest_;
};

// Whether nobody may be served it any more, by its hard expiry.
bool IsExpired(const Expected& blob, int64_t now_unix_ms);

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_HISTORY_H_
