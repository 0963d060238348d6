#include "bench/l2/invalidations.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/data.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int kFlushesARound = 1000;
// Each covers a thousandth of the records.
constexpr int64_t kInvalidationsARound = 100;

using InvalidateFn = absl::StatusOr<cache::Mutation> (*)(
    cache::BlobCache* cache, const std::string& group);

struct Kind {
  const char* name;
  InvalidateFn invalidate;
};

constexpr Kind kKinds[] = {
    {"invalidate by tag",
     [](cache::BlobCache* cache, const std::string& group) {
       return cache->InvalidateTags(kNamespace, {group});
     }},
    {"invalidate by dependency",
     [](cache::BlobCache* cache, const std::string& group) {
       return cache->InvalidateDependencies(kNamespace, {group});
     }},
    {"invalidate by prefix",
     [](cache::BlobCache* cache, const std::string& group) {
       return cache->InvalidatePrefix(kNamespace, group);
     }},
};

// Microseconds of an invalidation, on average over groups that were not
// invalidated before.
absl::StatusOr<double> TimeInvalidations(cache::BlobCache* cache,
                                         const Kind& kind,
                                         int64_t first_group) {
  std::vector<std::string> groups;
  for (int64_t g = 0; g < kInvalidationsARound; ++g) {
    groups.push_back(TagOf((first_group + g) % kRecordGroups));
  }
  const Stopwatch watch;
  for (const std::string& group : groups) {
    LARDER_RETURN_IF_ERROR(kind.invalidate(cache, group).status());
  }
  return watch.micros() / static_cast<double>(kInvalidationsARound);
}

}  // namespace

absl::StatusOr<Rows> Invalidate(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, kRecordGroups * 10);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "invalidate"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> all,
      LarderStore::Open(L2Options(scratch.Sub("all"), RoomFor(records))));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> few,
      LarderStore::Open(L2Options(scratch.Sub("few"), RoomFor(records))));
  LARDER_RETURN_IF_ERROR(FillGroups(all.get(), records));
  LARDER_RETURN_IF_ERROR(FillGroups(few.get(), records / 100));
  Rows rows;
  for (const Kind& kind : kKinds) {
    Samples samples;
    for (int round = 0; round < setting.rounds; ++round) {
      const int64_t first = round * kInvalidationsARound;
      LARDER_ASSIGN_OR_RETURN(const double us,
                              TimeInvalidations(all->cache(), kind, first));
      samples.Add("larder", us);
      LARDER_ASSIGN_OR_RETURN(const double few_us,
                              TimeInvalidations(few->cache(), kind, first));
      samples.Add("larder, a hundredth of it", few_us);
    }
    Row row{kind.name,
            "us",
            samples.Median("larder"),
            samples.Others("larder"),
            {}};
    row.bar = {AtMost("us", row.larder, 20)};
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<Rows> FlushNamespaces(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, 1000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "flush"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), RoomFor(records))));
  Samples samples;
  LARDER_RETURN_IF_ERROR(FillRecords(store.get(), 0, records, L2Put()));
  for (int round = 0; round < setting.rounds; ++round) {
    std::vector<double> micros;
    for (int i = 0; i < kFlushesARound; ++i) {
      const Stopwatch watch;
      LARDER_RETURN_IF_ERROR(
          store->cache()->FlushNamespace(kNamespace).status());
      micros.push_back(watch.micros());
    }
    samples.Add("larder", Quantile(micros, 0.99));
    samples.Add("larder, median", Quantile(micros, 0.5));
    samples.Add("larder, slowest", Quantile(micros, 1));
  }
  Row row{"FlushNamespace, p99",
          "us",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
  row.bar = {AtMost("us", row.larder, 100)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
