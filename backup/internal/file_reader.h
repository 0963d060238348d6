// Rebuilds the files of a directory source from a dump.
#ifndef LARDER_BACKUP_INTERNAL_FILE_READER_H_
#define LARDER_BACKUP_INTERNAL_FILE_READER_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/file_target.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/source_reader.h"

namespace larder::backup_internal {

// Every file of the dump ends as either restored or lost (reported). A lost
// Files chunk costs the files with bytes in it; Names chunks, which follow
// sooner or later, tell what they are called.
// Memory: besides the chunk, the names of losses since the last Names chunk.
class FileReader : public SourceReader {
 public:
  struct Counts {
    int64_t restored = 0;
    int64_t restored_bytes = 0;
    int64_t lost = 0;
  };

  // Borrows all.
  FileReader(std::string source, const backup::format::SourceTotals* totals,
             FileTarget* target, LossReporter* losses, ProblemFn problem)
      : source_(std::move(source)),
        totals_(totals),
        target_(target),
        losses_(losses),
        problem_(std::move(problem)) {}

  absl::Status OnChunk(const backup::format::ChunkHeader& header,
                       absl::string_view payload) override;
  void OnGap(const absl::Status& reason) override;
  absl::Status Finish() override;

  const Counts& counts() const { return counts_; }
  const std::string& source() const { return source_; }

 private:
  absl::Status OnFiles(absl::string_view payload);
  absl::Status OnNames(absl::string_view payload);
  absl::Status TakePart(const backup::format::FilePart& part);
  absl::Status BeginFile(const backup::format::FilePart& part);
  absl::Status FinishFile(const backup::format::FilePart& part);
  void LoseOpen(absl::string_view reason);
  void Lose(const std::string& path, absl::string_view reason);
  std::string GapReason() const;

  const std::string source_;
  const backup::format::SourceTotals* const totals_;
  FileTarget* const target_;
  LossReporter* const losses_;
  const ProblemFn problem_;
  Counts counts_;

  bool open_ = false;  // A file is with the target.
  std::string path_;   // Of the last file begun.
  uint64_t offset_ = 0;
  backup::format::StreamingChecksum128 checksum_;
  int64_t bytes_seen_ = 0;

  uint64_t files_seen_ = 0;  // Files of the source up to here.
  // Of those, how many no part was seen of, less those that Names told.
  int64_t unnamed_ = 0;
  absl::flat_hash_set<std::string> lost_names_;  // Since the last Names.
  absl::flat_hash_set<uint64_t> sequences_;      // Received, likewise.
  std::string last_told_;  // The last loss that Names told.
  std::string gap_reason_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FILE_READER_H_
