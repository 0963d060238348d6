#include "tools/cli/import_command.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/policy.h"
#include "tools/cli/file_walk.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/read_input.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

// Adds up what is to come, for the progress line.
class SizeVisitor : public FileVisitor {
 public:
  bool OnFile(absl::string_view, int, const char*, int64_t size) override {
    bytes_ += size;
    return !Interrupted();
  }
  void OnSkipped(absl::string_view) override {}
  void OnError(absl::string_view, const absl::Status&) override {}
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// Whether an error is about one file; any other would meet all of them.
bool IsAboutOneFile(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status);
}

Links LinksOf(const ImportFlags& flags) {
  return flags.follow_links ? Links::kFollow : Links::kSkip;
}

class Importer : public FileVisitor {
 public:
  Importer(const ImportFlags& flags, cache::BlobCache* cache, Console* console,
           Progress* progress, Failures* failures)
      : flags_(flags),
        cache_(cache),
        console_(console),
        progress_(progress),
        failures_(failures) {
    options_.ttl_ms = flags.ttl_ms;
    options_.tags = flags.tags;
    options_.l1_admission = cache::L1Admission::kNever;
  }

  bool OnFile(absl::string_view path, int directory_fd, const char* name,
              int64_t size_bytes) override {
    if (Interrupted()) return false;
    absl::Status status = Read(path, directory_fd, name, size_bytes);
    if (absl::IsCancelled(status)) return false;
    if (status.ok()) {
      status = cache_->Put(flags_.ns, path, buffer_, options_).status();
      if (!status.ok() && !IsAboutOneFile(status)) {
        fatal_ = status;
        return false;
      }
    }
    progress_->Add(size_bytes);
    if (!status.ok()) {
      console_->Fail(path, status.message(), failures_);
      return true;
    }
    ++files_;
    bytes_ += static_cast<int64_t>(buffer_.size());
    return true;
  }
  void OnSkipped(absl::string_view) override { ++skipped_; }
  void OnError(absl::string_view path, const absl::Status& status) override {
    console_->Fail(path, status.message(), failures_);
  }

  int64_t files() const { return files_; }
  int64_t bytes() const { return bytes_; }
  int64_t skipped() const { return skipped_; }
  // Not OK: what made the import stop.
  const absl::Status& fatal() const { return fatal_; }

 private:
  absl::Status Read(absl::string_view path, int directory_fd, const char* name,
                    int64_t size_bytes) {
    // Before reading a large file for nothing.
    if (absl::Status key = cache::ValidateKey(path); !key.ok()) return key;
    absl::StatusOr<UniqueFd> fd =
        OpenRegular(directory_fd, name, LinksOf(flags_));
    if (!fd.ok()) return fd.status();
    return ReadInput(fd->get(), size_bytes, cache::kBlobBytesMax, &buffer_);
  }

  const ImportFlags& flags_;
  cache::BlobCache* const cache_;
  Console* const console_;
  Progress* const progress_;
  Failures* const failures_;
  cache::PutOptions options_;
  std::string buffer_;
  int64_t files_ = 0;
  int64_t bytes_ = 0;
  int64_t skipped_ = 0;
  absl::Status fatal_;
};

FileWalkOptions WalkOptions(const ImportFlags& flags) {
  FileWalkOptions options;
  options.links = LinksOf(flags);
  options.path_bytes_max = cache::kKeyBytesMax;
  // An L2 below the path must not swallow itself.
  if (auto l2 = IdentityOf(flags.cache.l2); l2.ok()) {
    options.skipped_directory = *l2;
  }
  return options;
}

void Report(const ImportFlags& flags, const Importer& importer,
            const cache::BlobCache& cache, int64_t elapsed_nanos,
            Console* console, CommandResult* result) {
  const cache::L2Stats l2 = cache.Stats().l2;
  const double seconds = static_cast<double>(elapsed_nanos) / 1e9;
  const double rate = static_cast<double>(importer.bytes()) / seconds;
  result->facts.String("namespace", flags.ns)
      .Int("files", importer.files())
      .Int("bytes", importer.bytes())
      .Int("skipped", importer.skipped())
      .Int("evicted", l2.evictions)
      .Id("epoch", l2.epoch)
      .Number("seconds", seconds);
  console->Say(absl::StrCat(
      "imported  ", FormatPlural(importer.files(), "file"), ", ",
      FormatBytes(importer.bytes()), " in ",
      FormatMillis(elapsed_nanos / 1'000'000), " (", FormatBytesPerSecond(rate),
      "), committed as epoch ", l2.epoch));
  if (importer.skipped() > 0) {
    console->Say(
        absl::StrCat("skipped   ", FormatPlural(importer.skipped(), "link"),
                     " and special files",
                     flags.follow_links ? "" : "; see --follow-links"));
  }
  if (!result->failures.empty()) {
    console->Say(absl::StrCat("failed    ",
                              FormatPlural(result->failures.count(), "item"),
                              ", each reported above"));
  }
  if (l2.evictions > 0) {
    console->Warn(absl::StrCat(
        FormatPlural(l2.evictions, "older blob"),
        " made room: the L2 is at its limit (see --l2-bytes-max)"));
  }
}

}  // namespace

CommandResult RunImport(const ImportFlags& flags, Console* console) {
  CommandResult result;
  InterruptScope interruptible;
  // A wrong path must not leave an empty L2 behind.
  if (auto path = IdentityOf(flags.path); !path.ok()) {
    result.status = path.status();
    return result;
  }
  auto cache = OpenCache(flags.cache, OpenMode::kStore);
  if (!cache.ok()) {
    result.status = cache.status();
    return result;
  }
  const FileWalkOptions walk = WalkOptions(flags);
  SizeVisitor sizes;
  if (console->ShowsProgress()) {
    result.status = WalkFiles(flags.path, walk, &sizes);
    if (!result.status.ok()) return result;
  }
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  Progress* progress = console->StartProgress("import", sizes.bytes());
  Importer importer(flags, cache->get(), console, progress, &result.failures);
  result.status = WalkFiles(flags.path, walk, &importer);
  result.status.Update(importer.fatal());
  // Also after an error: what was imported until then stays.
  const absl::Status flushed = (*cache)->Flush();
  result.status.Update(flushed);
  console->EndProgress();
  if (flushed.ok()) {
    Report(flags, importer, **cache, clock->NowSteadyNanos() - start_nanos,
           console, &result);
  }
  if (result.status.ok() && Interrupted()) {
    result.status = absl::CancelledError(absl::StrCat(
        "interrupted after ", FormatPlural(importer.files(), "file"),
        ", which are committed; the same command again imports all"));
  }
  return result;
}

}  // namespace larder::cli
