// The L2 of a live replica: takes dumps, each in one step, and serves reads.
#ifndef LARDER_REPLICATION_LIVE_L2_H_
#define LARDER_REPLICATION_LIVE_L2_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"
#include "cache/options.h"
#include "cache/replica_l2.h"
#include "cache/snapshot.h"
#include "replication/blob_reader.h"
#include "replication/dump_receiver.h"
#include "replication/kept_dumps.h"

namespace larder::replication {

// Beside the L2's directory L2 stands L2.replica, on the same file system, in
// which nothing is anybody else's: what is beside it under any other name is
// neither moved nor removed, whatever it may be called.
//
//   L2.replica/incoming   dumps on their way, term, secret, lock
//   L2.replica/building   an L2 that is being built
//   L2.replica/next       one that is whole; it becomes L2 at the next occasion
//   L2.replica/old        what it replaced
//
// A delta goes into L2 in one commit. A full dump, and a delta that is too
// large for that, go into `building`:
//
//   building --rename--> next   from here on it is applied
//   L2 --rename--> old;  next --rename--> L2;  old is removed
//
// What was applied is told by the L2 itself, in the same commit (ADR 0010). So
// whatever is killed or cut off, the next Open() finds one dump or the other.
//
// Thread-safe. Memory of Apply(): ReplicaL2::DeltaLimits and ApplyDump()'s.
class LiveL2 : public BlobReader {
 public:
  struct Options {
    // l2_path: absent, empty, or that of an earlier LiveL2. `file_system` and
    // `clock` may be null.
    cache::BlobCacheOptions cache;
    cache::ReplicaL2::DeltaLimits delta_limits;
    // Open dumps that are sealed; null: such a dump is refused.
    backup::Archive::Keys keys = nullptr;
  };
  // Locks and opens it; L2 may not be there yet.
  // Errors: kUnavailable: another process has it; kFailedPrecondition: L2 is a
  // primary's, or something else, or L2.replica is; then nothing was moved or
  // removed.
  static absl::StatusOr<std::unique_ptr<LiveL2>> Open(Options options);

  // L2.replica.
  static std::string StateDirectory(absl::string_view l2_path);

  // What was applied last; nothing: no dump yet.
  absl::StatusOr<std::optional<PublishedDump>> Applied() const;
  // Whether it can take a delta on that. Not after one that did not come out
  // as the primary said.
  bool TakesDeltas() const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a dump with this header, be it without sources yet, can be opened.
  // Errors: kFailedPrecondition: its key is not there.
  absl::Status CheckOpenable(const backup::format::DumpHeader& header) const;
  // For who makes an Archive of packs for Apply().
  const backup::Archive::Keys& keys() const { return options_.keys; }
  // Whether a dump with this header may be applied now.
  // Errors: kFailedPrecondition: no cache, no blobs, no key, older than what is
  // there, or a delta on something else; kResourceExhausted: more than fits.
  absl::Status CheckAcceptable(const backup::format::DumpHeader& header) const;

  // Applies a dump that is complete. Either all of it is visible, durable, and
  // has the primary's digest when this returns OK, or nothing has changed.
  // Reads go on meanwhile. `fence` is asked before a delta is applied in place,
  // and before what was built aside is put there.
  // Errors: its; kUnavailable: another one is being applied; kDataLoss: blobs
  // that the primary could not read are missing; or damage, or the digest
  // differs: no delta is taken after that; CheckAcceptable()'s; what the file
  // system says.
  absl::StatusOr<PublishedDump> Apply(const backup::Archive& packs,
                                      const backup::format::Manifest& manifest,
                                      FenceFn fence) ABSL_LOCKS_EXCLUDED(mu_);

  // One dump, for as long as the caller keeps it; null: none yet.
  std::shared_ptr<const cache::ReplicaView> View() const
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<ReplicatedView> Newest() const override;

  // Makes L2 a primary's; nothing else may be called then. No View() is left.
  // Errors: kFailedPrecondition: nothing was applied.
  absl::StatusOr<cache::SnapshotInfo> Promote();

  const KeptDumps& kept() const { return kept_; }

 private:
  // One L2 and a view of it. Shared with readers, who may outlive its turn.
  struct Current {
    std::shared_ptr<cache::ReplicaL2> l2;
    std::shared_ptr<const cache::ReplicaView> view;
    PublishedDump applied;
  };

  LiveL2(Options options, KeptDumps kept,
         std::unique_ptr<cache::l2::FileLock> lock);

  std::shared_ptr<const Current> current() const ABSL_LOCKS_EXCLUDED(mu_);
  // Makes `next`, if there is one, L2, and opens that.
  absl::Status Settle();
  absl::StatusOr<bool> IsAbsentOrEmpty() const;
  absl::Status OpenCurrent();
  // Whether what is at L2 now, if anything, is a replica's. Errors: Open()'s.
  absl::Status CheckReplaceable() const;
  absl::Status Show(std::shared_ptr<cache::ReplicaL2> l2);
  absl::Status ApplyInPlace(const backup::Archive& packs,
                            const backup::format::Manifest& manifest,
                            const std::string& note);
  // `base`: what the delta builds on; null: the dump is full.
  absl::Status BuildAside(const backup::Archive& packs,
                          const backup::format::Manifest& manifest,
                          const std::string& note, const cache::ReplicaL2* base,
                          FenceFn fence);
  absl::Status ApplyLocked(const backup::Archive& packs,
                           const backup::format::Manifest& manifest,
                           const std::string& note, FenceFn fence);
  std::string Aside(absl::string_view name) const;
  absl::Status RemoveAside(absl::string_view name) const;

  const Options options_;
  cache::l2::FileSystem* const file_system_;
  const KeptDumps kept_;
  const std::unique_ptr<cache::l2::FileLock> lock_;

  mutable cache::Mutex mu_;
  std::shared_ptr<const Current> current_ ABSL_GUARDED_BY(mu_);
  bool applying_ ABSL_GUARDED_BY(mu_) = false;
  bool needs_full_ ABSL_GUARDED_BY(mu_) = false;
  // `next` was taken for L2 and is not shown yet. Written by who applies.
  std::atomic<bool> is_swapping_{false};
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_LIVE_L2_H_
