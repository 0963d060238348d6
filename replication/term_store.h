// The highest term that a replica has seen: what fences an old primary.
#ifndef LARDER_REPLICATION_TERM_STORE_H_
#define LARDER_REPLICATION_TERM_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::replication {

// Thread-safe. Borrows `file_system`.
class TermStore {
 public:
  // Keeps the term in the directory `directory`, which exists; 0 at first.
  // Errors: kDataLoss: the file is damaged. Then the operator must decide: who
  // forgets the term lets an old primary write again.
  static absl::StatusOr<std::unique_ptr<TermStore>> Open(
      cache::l2::FileSystem* file_system, std::string directory);

  uint64_t highest() const ABSL_LOCKS_EXCLUDED(mu_);

  // Admits a primary of `term`. A higher term than before is durable when this
  // returns.
  // Errors: kPermissionDenied: a higher one has been seen; kInvalidArgument: 0,
  // or more than kTermMax.
  absl::Status Admit(uint64_t term) ABSL_LOCKS_EXCLUDED(mu_);
  // The same without a new term: whether `term` is not fenced.
  absl::Status Check(uint64_t term) const ABSL_LOCKS_EXCLUDED(mu_);
  // Takes `step`, unless `term` is fenced; no higher term is admitted
  // meanwhile, and who has one waits. Others of `term` do not: a step may take
  // minutes, and a client that was cut comes back. `step` calls nothing of
  // this.
  absl::Status RunUnfenced(uint64_t term,
                           absl::FunctionRef<absl::Status()> step) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  TermStore(cache::l2::FileSystem* file_system, std::string directory,
            uint64_t highest)
      : file_system_(file_system),
        directory_(std::move(directory)),
        highest_(highest) {}

  absl::Status CheckLocked(uint64_t term) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  cache::l2::FileSystem* const file_system_;
  const std::string directory_;
  mutable cache::SharedMutex mu_;
  uint64_t highest_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_TERM_STORE_H_
