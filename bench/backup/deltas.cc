#include "bench/backup/deltas.h"

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/backup/archives.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

struct Timed {
  Taken taken;
  double millis = 0;
};

// Waits first until the disk has what is to be read: a dump writes nothing of
// the cache, so nothing of the puts before it is part of its time.
absl::StatusOr<Timed> TimeBackUp(cache::BlobCache* cache,
                                 const std::string& dir,
                                 const BackupOrder& order) {
  LARDER_RETURN_IF_ERROR(cache->Flush());
  sync();
  const Stopwatch watch;
  LARDER_ASSIGN_OR_RETURN(Taken taken, BackUp(cache, dir, order));
  return Timed{std::move(taken), watch.millis()};
}

// Overwrites one in `share` of the store's `records`, and commits.
absl::Status Overwrite(LarderStore* store, const RandomValues& values,
                       int64_t records, int64_t share, uint64_t seed) {
  std::vector<int64_t> changed = Shuffled(records, seed);
  changed.resize(static_cast<size_t>(records / share));
  for (const int64_t i : changed) {
    LARDER_RETURN_IF_ERROR(
        store->Put(KeyOf(i), values.Of(i + static_cast<int64_t>(seed) + 1)));
  }
  return store->cache()->Flush();
}

}  // namespace

absl::StatusOr<Rows> DeltaOfChanges(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, 10'000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "deltas"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), RoomFor(records))));
  const RandomValues values(kKiB);
  LARDER_RETURN_IF_ERROR(FillStore(store.get(), records, values));
  Samples millis;
  Samples bytes;
  for (int round = 0; round < setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const Scratch archive,
                            Scratch::Make(setting, "archive"));
    const std::string dir = archive.Sub("a");
    LARDER_ASSIGN_OR_RETURN(const Timed full,
                            TimeBackUp(store->cache(), dir, {}));
    LARDER_RETURN_IF_ERROR(Overwrite(store.get(), values, records,
                                     /*share=*/100,
                                     static_cast<uint64_t>(round)));
    LARDER_ASSIGN_OR_RETURN(
        const Timed delta,
        TimeBackUp(store->cache(), dir, {.base_id = full.taken.id}));
    millis.Add("larder", delta.millis);
    millis.Add("full dump", full.millis);
    bytes.Add("larder", static_cast<double>(delta.taken.archive_bytes) / 1e6);
    bytes.Add("full dump", static_cast<double>(full.taken.archive_bytes) / 1e6);
  }
  Row time{"delta, 1 % changed, time",
           "ms",
           millis.Median("larder"),
           millis.Others("larder"),
           {}};
  time.bar = {
      AtMost("delta / full", time.larder / millis.Median("full dump"), 0.03)};
  Row size{"delta, 1 % changed, bytes",
           "MB",
           bytes.Median("larder"),
           bytes.Others("larder"),
           {}};
  size.bar = {
      AtMost("delta / full", size.larder / bytes.Median("full dump"), 0.03)};
  return Rows{std::move(time), std::move(size)};
}

absl::StatusOr<Rows> SeveralBases(const Setting& setting) {
  const int64_t blobs = setting.Scaled(32'768, 1000);
  constexpr int64_t kBlobBytes = 16 * kKiB;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "bases"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(
          L2Options(scratch.Sub("l2"), 4 * blobs * kBlobBytes + 512 * kMiB)));
  const RandomValues values(kBlobBytes);
  LARDER_RETURN_IF_ERROR(FillStore(store.get(), blobs, values));
  Samples megabytes;
  Samples millis;
  for (int round = 0; round < setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const Scratch archives,
                            Scratch::Make(setting, "archives"));
    const auto seed = static_cast<uint64_t>(2 * round);
    // Each twice: a backup into one changes what it lacks.
    const std::vector<std::string> old = {archives.Sub("a"), archives.Sub("b")};
    const std::vector<std::string> recent = {archives.Sub("c"),
                                             archives.Sub("d")};
    LARDER_RETURN_IF_ERROR(BackUpWhatEachLacks(store->cache(), old).status());
    LARDER_RETURN_IF_ERROR(
        Overwrite(store.get(), values, blobs, /*share=*/2, seed));
    LARDER_RETURN_IF_ERROR(
        BackUpWhatEachLacks(store->cache(), recent).status());
    LARDER_RETURN_IF_ERROR(
        Overwrite(store.get(), values, blobs, /*share=*/10, seed + 1));
    const auto measure =
        [&](const char* name,
            const std::vector<std::vector<std::string>>& backups)
        -> absl::Status {
      sync();
      const int64_t read = BytesRead();
      const double cpu = CpuNanos();
      for (const std::vector<std::string>& dirs : backups) {
        LARDER_RETURN_IF_ERROR(
            BackUpWhatEachLacks(store->cache(), dirs).status());
      }
      megabytes.Add(name, static_cast<double>(BytesRead() - read) / 1e6);
      millis.Add(name, (CpuNanos() - cpu) / 1e6);
      return absl::OkStatus();
    };
    for (const bool together : {round % 2 == 0, round % 2 == 1}) {
      LARDER_RETURN_IF_ERROR(
          together ? measure("larder", {{archives.Sub("e"), old[0], recent[0]}})
                   : measure("one after the other",
                             {{archives.Sub("f")}, {old[1]}, {recent[1]}}));
    }
    LARDER_RETURN_IF_ERROR(
        measure("the full one alone", {{archives.Sub("g")}}));
  }
  Row row{"3 sinks at 3 bases, bytes read",
          "MB",
          megabytes.Median("larder"),
          megabytes.Others("larder"),
          {}};
  row.bar = {AtMost("3 sinks / the full one",
                    row.larder / megabytes.Median("the full one alone"), 1.05)};
  Row cpu{"3 sinks at 3 bases, CPU time",
          "ms",
          millis.Median("larder"),
          millis.Others("larder"),
          {}};
  cpu.bar = {AtMost("at once / one after the other",
                    cpu.larder / millis.Median("one after the other"), 1)};
  return Rows{std::move(row), std::move(cpu)};
}

namespace {

// A cache that nobody uses, and an archive with a full dump of it.
struct Idle {
  std::unique_ptr<LarderStore> store;
  std::string archive;
  std::string full_id;
};

absl::StatusOr<Idle> MakeIdle(const std::string& dir, int64_t records) {
  Idle idle;
  LARDER_ASSIGN_OR_RETURN(idle.store,
                          LarderStore::Open(L2Options(dir, RoomFor(records))));
  LARDER_RETURN_IF_ERROR(FillRecords(idle.store.get(), 0, records,
                                     RandomValues(kRecordBytes), L2Put()));
  idle.archive = absl::StrCat(dir, ".archive");
  LARDER_ASSIGN_OR_RETURN(const Taken full,
                          BackUp(idle.store->cache(), idle.archive, {}));
  idle.full_id = full.id;
  return idle;
}

}  // namespace

absl::StatusOr<Rows> IdleDelta(const Setting& setting) {
  constexpr int kDeltasARound = 5;
  const int64_t large_records = setting.Scaled(1'000'000, 20'000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "idle"));
  LARDER_ASSIGN_OR_RETURN(const Idle large,
                          MakeIdle(scratch.Sub("large"), large_records));
  LARDER_ASSIGN_OR_RETURN(const Idle small,
                          MakeIdle(scratch.Sub("small"), 10'000));
  Samples millis;
  const auto measure = [&](const char* name, const Idle& idle,
                           bool sync_too) -> absl::Status {
    LARDER_ASSIGN_OR_RETURN(
        const Timed delta,
        TimeBackUp(idle.store->cache(), idle.archive,
                   {.base_id = idle.full_id, .sync = sync_too}));
    millis.Add(name, delta.millis);
    return absl::OkStatus();
  };
  for (int i = 0; i < setting.rounds * kDeltasARound; ++i) {
    LARDER_RETURN_IF_ERROR(measure("larder", large, false));
    LARDER_RETURN_IF_ERROR(measure("10,000 records", small, false));
    LARDER_RETURN_IF_ERROR(measure("synced", large, true));
    LARDER_RETURN_IF_ERROR(measure("10,000 records, synced", small, true));
  }
  Row row{"idle delta, 1,000,000 records",
          "ms",
          millis.Median("larder"),
          millis.Others("larder"),
          {}};
  row.bar = {AtMost("ms", row.larder, 10),
             AtMost("ms, 10,000 records", millis.Median("10,000 records"), 10),
             AtMost("ms, synced", millis.Median("synced"), 10),
             AtMost("1,000,000 / 10,000 records",
                    row.larder / millis.Median("10,000 records"), 2)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
