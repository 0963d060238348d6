#include "tools/cli/export_command.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "tools/cli/blob_reader.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/output_tree.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

constexpr size_t kKeysAtOnce = 256;

class Exporter {
 public:
  Exporter(const ExportFlags& flags, cache::BlobCache* cache, OutputTree* tree,
           Console* console, Progress* progress, Failures* failures)
      : flags_(flags),
        cache_(cache),
        tree_(tree),
        console_(console),
        progress_(progress),
        failures_(failures) {}

  // Errors: those that would meet every file, as a full disk; kCancelled.
  absl::Status Run() {
    std::string after;
    for (bool more = true; more;) {
      LARDER_ASSIGN_OR_RETURN(more, NextKeys(&after));
      for (const std::string& key : keys_) {
        if (Interrupted()) return InterruptedError();
        LARDER_RETURN_IF_ERROR(ExportOne(key));
      }
    }
    return absl::OkStatus();
  }

  int64_t files() const { return files_; }
  int64_t bytes() const { return bytes_; }

 private:
  // Fills `keys_` with the next valid keys behind `*after` and moves it.
  // Returns: whether there may be more.
  absl::StatusOr<bool> NextKeys(std::string* after) {
    keys_.clear();
    LARDER_RETURN_IF_ERROR(cache_->ForEachL2Record(
        flags_.ns, *after, [&](const cache::BlobCache::L2RecordView& record) {
          after->assign(record.key.data(), record.key.size());
          if (record.valid) keys_.push_back(*after);
          return keys_.size() < kKeysAtOnce;
        }));
    return keys_.size() == kKeysAtOnce;
  }

  absl::Status ExportOne(const std::string& key) {
    absl::Status status = CheckRelativeName(key);
    int64_t bytes = 0;
    if (status.ok()) status = Write(key, &bytes);
    if (status.ok()) {
      ++files_;
      bytes_ += bytes;
      return status;
    }
    tree_->Abandon();
    // Expired since it was listed: then it is not valid.
    if (absl::IsNotFound(status)) return absl::OkStatus();
    if (absl::IsResourceExhausted(status) || absl::IsCancelled(status)) {
      return status;
    }
    console_->Fail(key, status.message(), failures_);
    return absl::OkStatus();
  }

  absl::Status Write(const std::string& key, int64_t* bytes) {
    LARDER_RETURN_IF_ERROR(tree_->Begin());
    LARDER_RETURN_IF_ERROR(
        ReadBlob(cache_, flags_.ns, key, [&](const cache::Hit& piece) {
          if (Interrupted()) return InterruptedError();
          *bytes += static_cast<int64_t>(piece.bytes().size());
          progress_->Add(static_cast<int64_t>(piece.bytes().size()));
          return tree_->Append(piece.bytes());
        }));
    return tree_->Finish(key);
  }

  const ExportFlags& flags_;
  cache::BlobCache* const cache_;
  OutputTree* const tree_;
  Console* const console_;
  Progress* const progress_;
  Failures* const failures_;
  std::vector<std::string> keys_;
  int64_t files_ = 0;
  int64_t bytes_ = 0;
};

int64_t RawBytesOf(const cache::BlobCache& cache, const std::string& ns) {
  for (const cache::NamespaceStats& stats : cache.NamespacesStats()) {
    if (stats.name == ns) return stats.l2_raw_bytes;
  }
  return 0;
}

absl::Status Export(const ExportFlags& flags, Console* console,
                    CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kLook));
  // Nobody looks whether a copy is of all.
  LARDER_RETURN_IF_ERROR(CheckWhole(flags.cache.l2));
  LARDER_RETURN_IF_ERROR(CheckNamespaceExists(*cache, flags.ns));
  absl::StatusOr<OutputTree> tree =
      OutputTree::Open(flags.out, flags.overwrite);
  if (absl::IsAlreadyExists(tree.status())) {
    return absl::AlreadyExistsError(absl::StrCat(
        tree.status().message(), "; --overwrite exports into it all the same"));
  }
  LARDER_RETURN_IF_ERROR(tree.status());
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  Exporter exporter(
      flags, cache.get(), &*tree, console,
      console->StartProgress("export", RawBytesOf(*cache, flags.ns)),
      &result->failures);
  const absl::Status status = exporter.Run();
  console->EndProgress();
  const int64_t nanos = clock->NowSteadyNanos() - start_nanos;
  result->facts.String("namespace", flags.ns)
      .Int("files", exporter.files())
      .Int("bytes", exporter.bytes())
      .Number("seconds", static_cast<double>(nanos) / 1e9);
  console->Say(
      absl::StrCat("exported  ", FormatPlural(exporter.files(), "file"), ", ",
                   FormatBytes(exporter.bytes()), " in ",
                   FormatMillis(nanos / 1'000'000), " to ", flags.out));
  return status;
}

}  // namespace

CommandResult RunExport(const ExportFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Export(flags, console, &result);
  return result;
}

}  // namespace larder::cli
