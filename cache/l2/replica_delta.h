// A delta that is applied to a live replica's L2 in one commit.
#ifndef LARDER_CACHE_L2_REPLICA_DELTA_H_
#define LARDER_CACHE_L2_REPLICA_DELTA_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/hlc.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/record_loader.h"
#include "cache/l2/replicated_state.h"
#include "cache/l2/tombstone_coverage.h"
#include "cache/namespace_table.h"
#include "cache/replica_l2.h"
#include "cache/snapshot.h"

namespace larder::cache::l2 {

// Chains go to `blobs` as they come; records are staged, which readers of a
// view do not see. Invalidations are not journaled: a journal would bring them
// back without the rest. Single-owner.
class ReplicaDelta : public L2Loader {
 public:
  // What it works on; all borrowed.
  struct Place {
    L2Store* store;
    NamespaceTable* namespaces;  // Of the store.
    HlcClock* hlc;
    // Tombstones that were live when all records were last asked which of
    // them cover any.
    int64_t* live_then;
  };
  static absl::StatusOr<std::unique_ptr<L2Loader>> Start(
      const Place& place, const SnapshotInfo& target, std::string note,
      const ReplicaL2::DeltaLimits& limits);
  ~ReplicaDelta() override;

  absl::Status Begin(const StoredRecord& record) override {
    return records_.Begin(record);
  }
  absl::Status AppendFrame(absl::string_view stored) override {
    return records_.AppendFrame(stored);
  }
  absl::Status Finish() override;
  void Abandon() override { records_.Abandon(); }
  absl::Status StartDelta() override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view ns, absl::string_view from, absl::string_view until,
      absl::Span<const uint64_t> kept,
      absl::FunctionRef<void(absl::string_view key)> removed) override;
  absl::StatusOr<SnapshotInfo> Close() override;

 private:
  ReplicaDelta(const Place& place, std::string note,
               const ReplicaL2::DeltaLimits& limits);
  // Learns the invalidations of the end.
  absl::Status TakeOver(const SnapshotInfo& target);
  // Before it is staged. Errors: kOutOfRange.
  absl::Status Count(absl::string_view record_key, uint64_t inline_bytes);
  // Fills in what becomes of each tombstone.
  void MarkTombstones();
  // Asks all records that stay, too, which tombstones cover them.
  absl::Status NoteAllRecords();
  absl::Status NoteStaged(absl::string_view record_key, const Record& record);

  const Place place_;
  const ReplicaL2::DeltaLimits limits_;
  // All that the end knows, spent or not, under the ids of the store.
  NamespaceTable validity_;
  TombstoneCoverage coverage_;
  RecordLoader records_;
  ReplicatedState state_;
  Hlc newest_;
  int64_t changes_ = 0;
  uint64_t bytes_ = 0;
  bool closed_ = false;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPLICA_DELTA_H_
