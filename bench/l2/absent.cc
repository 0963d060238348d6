#include "bench/l2/absent.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "bench/stores/larder.h"
#include "bench/stores/lmdb.h"
#include "bench/stores/rocksdb.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kProbes = 100'000;

// Percent of gets of absent keys that did not reach L2's trees.
absl::StatusOr<double> SkipRate(LarderStore* store,
                                const std::vector<std::string>& keys) {
  const int64_t before = store->cache()->Stats().l2.negative_skips;
  for (const std::string& key : keys) {
    if (store->Get(key, [](absl::string_view) {})) {
      return absl::InternalError("an absent key was found");
    }
  }
  const int64_t skipped = store->cache()->Stats().l2.negative_skips - before;
  return 100.0 * static_cast<double>(skipped) /
         static_cast<double>(keys.size());
}

// Fills the store up to each count in turn; the worst rate met. The counts lie
// half a power of two apart, since a filter is worst just before it grows.
absl::StatusOr<double> FillAndFindWorstSkipRate(
    LarderStore* store, int64_t records, const std::vector<std::string>& keys) {
  const RandomValues values(kRecordBytes);
  double worst = 100;
  int64_t filled = 0;
  for (double step = 1000; filled < records; step *= 1.41421356) {
    const int64_t next = std::min(records, static_cast<int64_t>(step));
    LARDER_RETURN_IF_ERROR(FillRecords(store, filled, next, values, L2Put()));
    filled = next;
    LARDER_ASSIGN_OR_RETURN(const double rate, SkipRate(store, keys));
    worst = std::min(worst, rate);
  }
  return worst;
}

absl::Status FillPeers(const Stores& stores, int64_t records) {
  const RandomValues values(kRecordBytes);
  for (const std::unique_ptr<Store>& store : stores) {
    if (store->name() == "larder") continue;
    LARDER_RETURN_IF_ERROR(FillStore(store.get(), records, values));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Rows> AbsentKey(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, 2000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "absent"));
  std::vector<std::string> keys;
  for (const int64_t i : Shuffled(kProbes, 1)) {
    keys.push_back(AbsentKeyOf(i * 7));
  }
  Stores stores;
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<LarderStore> opened,
      LarderStore::Open(L2Options(scratch.Sub("larder"), RoomFor(records))));
  LarderStore* const larder = opened.get();
  stores.push_back(std::move(opened));
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<Store> rocksdb,
                          OpenRocksDb({.dir = scratch.Sub("rocksdb")}));
  stores.push_back(std::move(rocksdb));
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<Store> lmdb,
      OpenLmdb({.dir = scratch.Sub("lmdb"), .bytes_max = RoomFor(records)}));
  stores.push_back(std::move(lmdb));
  LARDER_ASSIGN_OR_RETURN(const double worst_skip_rate,
                          FillAndFindWorstSkipRate(larder, records, keys));
  LARDER_RETURN_IF_ERROR(FillPeers(stores, records));
  Samples samples;
  for (int round = 0; round <= setting.rounds; ++round) {
    for (size_t turn = 0; turn < stores.size(); ++turn) {
      // Another one is first in each round.
      Store* const store =
          stores[(turn + static_cast<size_t>(round)) % stores.size()].get();
      int64_t found = 0;
      const Stopwatch watch;
      for (const std::string& key : keys) {
        found += store->Get(key, [](absl::string_view) {}) ? 1 : 0;
      }
      const double nanos = watch.nanos() / static_cast<double>(keys.size());
      if (found > 0) return absl::InternalError("an absent key was found");
      if (round > 0) samples.Add(store->name(), nanos);
    }
  }
  Row row{"absent key",
          "ns",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
  row.bar = {
      AtMost("ns", row.larder, 120),
      AtMost("larder / rocksdb", row.larder / samples.Median("rocksdb"), 0.25),
      AtLeast("worst skip rate, %", worst_skip_rate, 99)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
