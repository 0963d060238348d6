// A snapshot of an L2: a pinned root.
#ifndef LARDER_CACHE_L2_L2_SNAPSHOT_H_
#define LARDER_CACHE_L2_L2_SNAPSHOT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cache/epoch_lock.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/superblock.h"
#include "cache/snapshot.h"

namespace larder::cache::l2 {

// Thread-safe. Must not outlive the store.
class PinnedSnapshot : public Snapshot {
 public:
  PinnedSnapshot(const L2Store* store, std::unique_ptr<EpochLock::Pin> pin,
                 const Superblock& root, SnapshotInfo info);

  const SnapshotInfo& info() const override { return info_; }
  absl::Status status() const override { return pin_->status(); }
  double used() const override { return pin_->used(); }
  absl::Status Read(int64_t records_max, Position* position,
                    std::vector<StoredRecord>* records,
                    std::vector<std::string>* damage) const override;
  absl::Status ReadDelta(const DeltaBase& base, const DeltaLimits& limits,
                         Position* position, std::vector<DeltaRange>* ranges,
                         std::vector<std::string>* damage) const override;
  absl::Status ReadFrame(const StoredRecord& record, size_t i,
                         std::string* out) const override;

  // The record of a key, as the snapshot has it. The caller is in
  // EnterPinned(). Returns: whether there is one.
  absl::StatusOr<bool> Find(const Namespace& ns, absl::string_view key,
                            Record* record) const;

  const Superblock& root() const { return root_; }
  // With the guard and status() OK after it, nothing that the root reaches is
  // reused until the guard goes, even when the pin is aborted meanwhile.
  ReaderSlots::Guard EnterPinned() const {
    return store_->readers_.Enter(pin_->epoch());
  }

 private:
  // What Read() appends to, and how much more it may.
  struct Batch {
    int64_t left;
    std::vector<StoredRecord>* records;
    std::vector<std::string> lost;
  };
  // What ReadDelta() appends to, and how much more it may.
  struct DeltaBatch {
    DeltaBase base;
    DeltaLimits left;
    std::vector<DeltaRange>* ranges;
    std::vector<std::string> lost;
    bool IsFull() const {
      return left.changed <= 0 || left.kept <= 0 || left.bytes <= 0;
    }
  };
  class DeltaReader;

  // Has `read` read one namespace after the other, from a record key, as long
  // as it gets to their ends; moves `*position` accordingly. `read` returns the
  // record key to go on from, or nothing at the namespace's end.
  absl::Status ReadNamespaces(
      Position* position,
      absl::FunctionRef<absl::StatusOr<std::optional<std::string>>(
          const Namespace& ns, std::string from)>
          read) const;
  // Reads on from record key `from` within one namespace.
  // Returns: the record key to go on from, or nothing at the namespace's end.
  absl::StatusOr<std::optional<std::string>> ReadNamespace(const Namespace& ns,
                                                           std::string from,
                                                           Batch* batch) const;
  StoredRecord ToStored(const Namespace& ns, absl::string_view key,
                        Record record) const;

  const L2Store* const store_;
  const std::unique_ptr<EpochLock::Pin> pin_;
  const Superblock root_;
  const SnapshotInfo info_;
  // In the order of their names, which is not that of their ids.
  std::vector<const Namespace*> namespaces_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_L2_SNAPSHOT_H_
