#include "bench/backup/dumps.h"

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/backup/archives.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "bench/stores/larder.h"
#include "bench/stores/lmdb.h"
#include "bench/stores/plain_copy.h"
#include "bench/stores/rocksdb.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kBlobBytes = 16 * kKiB;

// Somebody who can copy all that it holds into a directory.
struct Side {
  std::string name;
  std::function<absl::Status(const std::string& dir)> copy;
};

// The stores, filled, and what copies them.
class Sides {
 public:
  absl::Status Open(const Setting& setting, const std::string& dir,
                    int64_t count, ValueOf value_of) {
    const int64_t room = 4 * count * kBlobBytes + 512 * kMiB;
    LARDER_ASSIGN_OR_RETURN(
        std::unique_ptr<LarderStore> larder,
        LarderStore::Open(L2Options(dir + "/larder", room)));
    cache::BlobCache* const cache = larder->cache();
    Add(std::move(larder), [cache](const std::string& to) {
      return BackUp(cache, to, {}).status();
    });
    if (setting.Runs("lmdb")) {
      LARDER_ASSIGN_OR_RETURN(
          std::unique_ptr<Store> lmdb,
          OpenLmdb({.dir = dir + "/lmdb", .bytes_max = room}));
      Store* const store = lmdb.get();
      Add(std::move(lmdb),
          [store](const std::string& to) { return BackUpLmdb(store, to); });
    }
    for (const bool blobs : {false, true}) {
      if (!setting.Runs(blobs ? "rocksdb blobdb" : "rocksdb")) continue;
      LARDER_ASSIGN_OR_RETURN(
          std::unique_ptr<Store> rocksdb,
          OpenRocksDb(
              {.dir = dir + (blobs ? "/blobdb" : "/rocksdb"), .blobs = blobs}));
      Store* const store = rocksdb.get();
      Add(std::move(rocksdb),
          [store](const std::string& to) { return BackUpRocksDb(store, to); });
    }
    for (const std::unique_ptr<Store>& store : stores_) {
      LARDER_RETURN_IF_ERROR(FillStore(store.get(), count, value_of));
    }
    if (!setting.Runs("cp")) return absl::OkStatus();
    const std::string files = dir + "/files";
    LARDER_RETURN_IF_ERROR(FillPlainFiles(files, count, value_of));
    sides_.push_back({"cp, read and write", [files](const std::string& to) {
                        return CopyPlainFiles(files, to, CopyBy::kReadAndWrite);
                      }});
    sides_.push_back({"cp, copy_file_range", [files](const std::string& to) {
                        return CopyPlainFiles(files, to,
                                              CopyBy::kCopyFileRange);
                      }});
    return absl::OkStatus();
  }

  const std::vector<Side>& all() const { return sides_; }

 private:
  void Add(std::unique_ptr<Store> store,
           std::function<absl::Status(const std::string& dir)> copy) {
    sides_.push_back({store->name(), std::move(copy)});
    stores_.push_back(std::move(store));
  }

  Stores stores_;
  std::vector<Side> sides_;
};

struct Cost {
  double seconds = 0;
  double cpu_nanos = 0;
};

// Of one copy into a fresh directory. Nobody waits for what another one has
// written, or deleted.
absl::StatusOr<Cost> CostOfCopy(const Setting& setting, const Side& side) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "copy"));
  sync();
  const double cpu_before = CpuNanos();
  const Stopwatch watch;
  LARDER_RETURN_IF_ERROR(side.copy(scratch.Sub("to")));
  return Cost{watch.seconds(), CpuNanos() - cpu_before};
}

}  // namespace

absl::StatusOr<Rows> FullDump(const Setting& setting) {
  const int64_t count = setting.Scaled(32'768, 100);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "dumps"));
  const RandomValues values(kBlobBytes);
  Sides sides;
  LARDER_RETURN_IF_ERROR(sides.Open(setting, scratch.path(), count,
                                    [&](int64_t i) { return values.Of(i); }));
  const std::vector<Side>& all = sides.all();
  Samples rates;
  Samples cpu;
  for (int round = -1; round < setting.rounds; ++round) {  // -1 warms up.
    for (size_t turn = 0; turn < all.size(); ++turn) {
      const Side& side =
          all[(turn + static_cast<size_t>(round + 1)) % all.size()];
      LARDER_ASSIGN_OR_RETURN(const Cost cost, CostOfCopy(setting, side));
      if (round < 0) continue;
      rates.Add(side.name,
                static_cast<double>(count * kBlobBytes) / 1e6 / cost.seconds);
      cpu.Add(side.name, cost.cpu_nanos / 1e6);
    }
  }
  Row row{"full dump, 16 KiB",
          "MB/s",
          rates.Median("larder"),
          rates.Others("larder"),
          {}};
  row.bar = {
      AtLeast("larder / rocksdb", row.larder / rates.Median("rocksdb"), 1.5),
      AtLeast("larder / cp, read and write",
              row.larder / rates.Median("cp, read and write"), 0.7),
      AtLeast("larder / cp, copy_file_range",
              row.larder / rates.Median("cp, copy_file_range"), 0.7)};
  return Rows{std::move(row),
              {"full dump, 16 KiB, CPU time",
               "ms",
               cpu.Median("larder"),
               cpu.Others("larder"),
               {}}};
}

namespace {

// CPU nanoseconds of a dump for each byte that L2 stores.
absl::StatusOr<double> CpuOfDump(const Setting& setting,
                                 cache::BlobCache* cache) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "copy"));
  sync();
  const double before = CpuNanos();
  LARDER_ASSIGN_OR_RETURN(const Taken taken,
                          BackUp(cache, scratch.Sub("to"), {}));
  return (CpuNanos() - before) / static_cast<double>(taken.stored_bytes);
}

}  // namespace

absl::StatusOr<Rows> CompressibleDump(const Setting& setting) {
  const int64_t count = setting.Scaled(32'768, 100);
  const int64_t room = 4 * count * kBlobBytes + 512 * kMiB;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "dumps"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> plain,
      LarderStore::Open(L2Options(scratch.Sub("plain"), room)));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> zstd,
      LarderStore::Open(L2Options(scratch.Sub("zstd"), room)));
  const RandomValues values(kBlobBytes);
  LARDER_RETURN_IF_ERROR(FillStore(plain.get(), count, values));
  std::string json;
  LARDER_RETURN_IF_ERROR(FillStore(zstd.get(), count, [&](int64_t i) {
    json = JsonValue(i, kBlobBytes);
    return absl::string_view(json);
  }));
  Samples nanos;
  for (int round = -1; round < setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const double compressible,
                            CpuOfDump(setting, zstd->cache()));
    if (round >= 0) nanos.Add("larder", compressible);
    if (!setting.Runs("incompressible")) continue;
    LARDER_ASSIGN_OR_RETURN(const double incompressible,
                            CpuOfDump(setting, plain->cache()));
    if (round >= 0) nanos.Add("incompressible", incompressible);
  }
  Row row{"full dump, compressible",
          "ns CPU / stored byte",
          nanos.Median("larder"),
          nanos.Others("larder"),
          {}};
  row.bar = {AtMost("compressible / incompressible",
                    row.larder / nanos.Median("incompressible"), 1.5)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
