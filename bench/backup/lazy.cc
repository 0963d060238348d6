#include "bench/backup/lazy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/lazy_restore.h"
#include "bench/backup/archives.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kBlobBytes = 16 * kKiB;

int64_t RoomForBlobs(int64_t blobs) {
  return blobs * kBlobBytes * 5 / 4 + 64 * kMiB;
}

// An archive with a full dump of so many blobs; the cache is gone.
absl::Status MakeArchive(const Scratch& scratch, int64_t blobs,
                         const RandomValues& values) {
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), RoomForBlobs(blobs))));
  LARDER_RETURN_IF_ERROR(FillStore(store.get(), blobs, values));
  LARDER_RETURN_IF_ERROR(
      BackUp(store->cache(), scratch.Sub("archive"), {}).status());
  // Its room is needed.
  std::error_code error;
  std::filesystem::remove_all(scratch.Sub("l2"), error);
  return absl::OkStatus();
}

// Has the archive's files leave the page cache.
absl::Status ForgetPages(const std::string& archive) {
  sync();
  std::error_code error;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(archive, error)) {
    if (!entry.is_regular_file()) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return absl::InternalError(entry.path().string());
    const int failed = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    if (failed != 0) return absl::ErrnoToStatus(failed, "posix_fadvise");
  }
  return error ? absl::InternalError(error.message()) : absl::OkStatus();
}

// From the open of the archive to a blob of it.
absl::StatusOr<double> FirstHitMillis(const Setting& setting,
                                      const Scratch& scratch, int64_t blobs,
                                      int64_t key, const RandomValues& values) {
  LARDER_ASSIGN_OR_RETURN(const Scratch target,
                          Scratch::Make(setting, "lazy-target"));
  backup::LazyRestoreOptions options;
  options.archives = {scratch.Sub("archive")};
  options.cache = L2Options(target.Sub("l2"), RoomForBlobs(blobs));
  const Stopwatch watch;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<backup::LazyRestore> lazy,
                          backup::LazyRestore::Open(options));
  const std::optional<cache::Hit> hit = lazy->Get(kNamespace, KeyOf(key));
  const double millis = watch.millis();
  if (!hit.has_value() || hit->bytes() != values.Of(key)) {
    return absl::DataLossError(absl::StrCat(KeyOf(key), ": not what was put"));
  }
  return millis;
}

}  // namespace

absl::StatusOr<Rows> LazyRestoreFirstHit(const Setting& setting) {
  const int64_t large = setting.Scaled(4 * kMiB * kKiB / kBlobBytes, 2048);
  const int64_t small = large / 8;
  const RandomValues values(kBlobBytes);
  LARDER_ASSIGN_OR_RETURN(const Scratch large_scratch,
                          Scratch::Make(setting, "lazy-large"));
  LARDER_ASSIGN_OR_RETURN(const Scratch small_scratch,
                          Scratch::Make(setting, "lazy-small"));
  LARDER_RETURN_IF_ERROR(MakeArchive(large_scratch, large, values));
  LARDER_RETURN_IF_ERROR(MakeArchive(small_scratch, small, values));
  Samples millis;
  for (int round = 0; round < setting.rounds; ++round) {
    const auto measure = [&](const char* name, const Scratch& scratch,
                             int64_t blobs, bool cold) -> absl::Status {
      if (cold) LARDER_RETURN_IF_ERROR(ForgetPages(scratch.Sub("archive")));
      const int64_t key = Shuffled(blobs, static_cast<uint64_t>(round))[0];
      LARDER_ASSIGN_OR_RETURN(
          const double taken,
          FirstHitMillis(setting, scratch, blobs, key, values));
      millis.Add(name, taken);
      return absl::OkStatus();
    };
    LARDER_RETURN_IF_ERROR(measure("larder", large_scratch, large, false));
    LARDER_RETURN_IF_ERROR(measure("an eighth", small_scratch, small, false));
    LARDER_RETURN_IF_ERROR(
        measure("not in page cache", large_scratch, large, true));
    LARDER_RETURN_IF_ERROR(
        measure("an eighth, not in page cache", small_scratch, small, true));
  }
  Row row{absl::StrCat("lazy restore, first hit of ", large * kBlobBytes / kMiB,
                       " MiB"),
          "ms",
          millis.Median("larder"),
          millis.Others("larder"),
          {}};
  row.bar = {
      AtMost("ms", row.larder, 200),
      AtMost("ms, not in page cache", millis.Median("not in page cache"), 200),
      AtMost("all / an eighth", row.larder / millis.Median("an eighth"), 2)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
