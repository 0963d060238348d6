// Rebuilds the records of a blob cache from a dump, into an L2Loader.
#ifndef LARDER_BACKUP_INTERNAL_CACHE_READER_H_
#define LARDER_BACKUP_INTERNAL_CACHE_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/delta_applier.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/pack_frames.h"
#include "backup/internal/source_reader.h"
#include "cache/snapshot.h"

namespace larder::backup_internal {

// Every record of the dump ends as exactly one of restored, skipped
// (`newer` covers it) and lost (reported). Ranges come in order:
//
//   Records --> Frames* --> Names --> Records ...
//
// In a delta each Records chunk first has its ranges applied to what was
// restored of the base (DeltaApplier).
//
// A lost Records chunk costs its records, whose names the Names chunk behind
// tells; a lost Frames chunk costs the records with frames in it; a lost Names
// chunk costs nothing. Memory: one range with its frame lists.
class CacheReader : public SourceReader {
 public:
  struct Counts {
    int64_t restored = 0;
    int64_t restored_bytes = 0;  // As stored.
    int64_t skipped = 0;
    int64_t lost = 0;
  };

  // Borrows all. `newer` may be null; `delta` is null for a full dump. `frames`
  // reads what records say lies elsewhere.
  CacheReader(std::string source, const backup::format::SourceTotals* totals,
              cache::L2Loader* loader, const InvalidationSet* newer,
              LossReporter* losses, DeltaApplier* delta, PackFrames* frames,
              ProblemFn problem)
      : source_(std::move(source)),
        totals_(totals),
        loader_(loader),
        newer_(newer),
        losses_(losses),
        delta_(delta),
        frames_(frames),
        problem_(std::move(problem)) {}

  absl::Status OnChunk(const backup::format::ChunkHeader& header,
                       absl::string_view payload) override;
  void OnGap(const absl::Status& reason) override;
  absl::Status Finish() override;

  const Counts& counts() const { return counts_; }

 private:
  // kWaiting --first frame--> kOpen --last frame--> kDone
  //     |                       +--> kLost
  //     +--> kSkipped, kLost, kDone (a record without frames)
  enum class State { kWaiting, kOpen, kSkipped, kLost, kDone };

  absl::Status OnRecords(uint64_t sequence, absl::string_view payload);
  absl::Status OnFrames(absl::string_view payload);
  absl::Status OnNames(absl::string_view payload);
  // Of the current record.
  absl::Status FetchFrames(const backup::format::Record& message);

  // What is wrong with a Records message as a whole; OK: nothing.
  absl::Status CheckRecords(const backup::format::Records& message) const;
  absl::Status ApplyRanges(const backup::format::Records& message);
  absl::Status LoseRanges(const backup::format::NamesOfChunk& chunk);

  void AddRecord(const backup::format::Record& message);
  // Makes `index` the current record; books those before it.
  absl::Status MoveTo(size_t index);
  absl::Status CheckOrder(const cache::StoredRecord& record);
  absl::Status OpenCurrent();
  absl::Status TakeRun(const backup::format::FrameRun& run,
                       absl::string_view* frames, bool* malformed);
  absl::Status TakeFrame(const cache::StoredRecord& record,
                         absl::string_view* stored);
  absl::Status CloseCurrent();
  void LoseCurrent(absl::string_view reason);
  void Lose(absl::string_view ns, absl::string_view key,
            absl::string_view reason);
  void LoseUnnamed(uint64_t first_record);
  std::string GapReason() const;

  const std::string source_;
  const backup::format::SourceTotals* const totals_;
  cache::L2Loader* const loader_;
  const InvalidationSet* const newer_;
  LossReporter* const losses_;
  DeltaApplier* const delta_;
  PackFrames* const frames_;
  const ProblemFn problem_;
  Counts counts_;

  // The range under way.
  uint64_t sequence_ = 0;  // Of its Records chunk.
  bool in_range_ = false;
  std::vector<cache::StoredRecord> records_;
  std::vector<State> states_;
  size_t current_ = 0;
  size_t next_frame_ = 0;  // Of the current record.

  uint64_t records_seen_ = 0;   // Records of the source up to here.
  uint64_t named_missing_ = 0;  // Lost by name since then.
  uint64_t ranges_seen_ = 0;    // Of a delta: applied, or lost by name.
  std::string namespace_;       // Of the last record seen.
  std::string key_;             // Of the same.
  absl::flat_hash_set<std::string> namespaces_;  // Seen so far.
  std::string gap_reason_;  // Of the last gap; empty: none in this range.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CACHE_READER_H_
