// Takes all records of a snapshot into a cache, the hottest first.
#ifndef LARDER_BACKUP_INTERNAL_HYDRATOR_H_
#define LARDER_BACKUP_INTERNAL_HYDRATOR_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/cancellation.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/hydration_state.pb.h"
#include "backup/internal/layer_map.h"
#include "backup/internal/record_fetcher.h"
#include "backup/internal/snapshot_map.h"
#include "backup/loss.h"

namespace larder::backup_internal {

// How hot a record is, is when it was last read or put, as far as the snapshot
// knows: L2 notes reads when it ranks a record anew, not each. First all chunks
// of records are read, for how many bytes are how hot; then they are read again
// in up to kPassesMax passes, each for the records of one class, with their
// frames. Within a pass it goes from the newest delta to the full dump.
//
// The first archive leads. What is damaged there is looked for in the others.
//
// Single-owner. Memory: a SnapshotMap, one record with its frame lists, and the
// losses listed.
class Hydrator {
 public:
  static constexpr int kPassesMax = 3;

  // Borrows all. Goes on from, and counts in, `*state`; told of each loss.
  Hydrator(const RecordFetcher::Replicas* replicas, RecordFetcher* fetcher,
           const backup::Cancellation* cancellation,
           backup::format::HydrationState* state,
           std::function<void(const backup::Loss&)> on_loss);

  bool done() const { return done_; }
  // Reads one chunk of records, or takes records until `bytes_max` of them were
  // read. Returns: the bytes of chunks and frames that it dealt with.
  // Errors: kCancelled; what file systems and the cache say but for damage and
  // lack of room. May be called again.
  absl::StatusOr<int64_t> Step(int64_t bytes_max);

 private:
  // Of ages before the snapshot was made: four to an octave of milliseconds.
  static constexpr size_t kBuckets = 256;

  absl::StatusOr<int64_t> SurveyChunk();
  void FinishSurvey();
  size_t BucketOf(const backup::format::Record& record) const;
  absl::Status StartPasses();
  bool IsInPass(const backup::format::Record& record) const;
  // Moves on to the next chunk, layer or pass.
  absl::Status NextChunk();
  absl::StatusOr<int64_t> TakeNext();
  absl::Status TakeGap(const LayerGap& gap);
  // Looks for it in the other archives; else it is lost.
  absl::Status TakeElsewhere(const BlobPlace& place, const absl::Status& why,
                             size_t first, int64_t* bytes);
  // Everything that another archive has in the stretch.
  // Returns: whether it has all of that.
  absl::StatusOr<bool> TakeStretch(size_t replica, const LayerGap& gap);
  absl::Status Count(const absl::StatusOr<Fetched>& fetched, int64_t bytes);
  bool IsNewLoss(const BlobPlace& place);
  void Lose(const BlobPlace& place, const absl::Status& why);
  void LoseUnnamed(int64_t count, const absl::Status& why);
  // Counts and lists it.
  void Tell(const backup::Loss& loss);
  std::string ChainName() const;

  const RecordFetcher::Replicas* const replicas_;
  RecordFetcher* const fetcher_;
  const backup::Cancellation* const cancellation_;
  backup::format::HydrationState* const state_;
  const std::function<void(const backup::Loss&)> on_loss_;
  const std::string source_name_;

  std::unique_ptr<SnapshotMap> map_;
  // What is met twice, as after a restart, is told once. The first so many.
  static constexpr size_t kLossesKeptMax = 65'536;
  std::set<BlobPlace> lost_;
  bool done_ = false;

  bool surveying_ = false;
  std::array<int64_t, kBuckets> bytes_by_age_{};

  bool started_ = false;  // `chunk_` is where it is; else before the first.
  LayerMap::ChunkPtr chunk_;
  size_t at_ = 0;  // In `chunk_`.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_HYDRATOR_H_
