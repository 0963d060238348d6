#include "bench/l2/invalidations.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench/data.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

// All flushed in each round. Source: at most 256 by default.
constexpr int64_t kNamespaces = 200;
// Each covers a thousandth of the records.
constexpr int64_t kInvalidationsARoundMax = 100;

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

// Microseconds of each invalidation. Groups are `count` from `first` on.
absl::StatusOr<std::vector<double>> TimeInvalidations(cache::BlobCache* cache,
                                                      const Kind& kind,
                                                      int64_t first,
                                                      int64_t count) {
  std::vector<double> micros;
  for (int64_t g = 0; g < count; ++g) {
    const std::string group = TagOf((first + g) % kRecordGroups);
    const Stopwatch watch;
    LARDER_RETURN_IF_ERROR(kind.invalidate(cache, group).status());
    micros.push_back(watch.micros());
  }
  return micros;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(values.size());
}

struct Named {
  const char* name;
  cache::BlobCache* cache;
};

// `first_group`: of the first round. Round 0 warms up.
absl::StatusOr<Row> InvalidateRow(const Setting& setting, const Kind& kind,
                                  const Named (&caches)[2], int64_t first_group,
                                  int64_t count) {
  Samples means;
  Samples slowest;
  for (int round = 0; round <= setting.rounds; ++round) {
    for (size_t turn = 0; turn < 2; ++turn) {
      const Named& named = caches[(turn + static_cast<size_t>(round)) % 2];
      LARDER_ASSIGN_OR_RETURN(
          const std::vector<double> micros,
          TimeInvalidations(named.cache, kind, first_group + round * count,
                            count));
      if (round == 0) continue;
      means.Add(named.name, Mean(micros));
      slowest.Add(named.name, Quantile(micros, 1));
    }
  }
  const double few = means.Median(caches[1].name);
  Row row{
      kind.name,
      "us",
      means.Median("larder"),
      {{caches[1].name, few}, {"larder, slowest", slowest.Median("larder")}},
      {}};
  row.bar = {AtMost("us", row.larder, 20),
             // "Flat": a hundred times the records may cost twice the time.
             AtMost("all / a hundredth of the records", row.larder / few, 2)};
  return row;
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
  const Named caches[] = {{"larder", all->cache()},
                          {"larder, a hundredth of it", few->cache()}};
  // No group twice, by whatever kind, unless there are hundreds of rounds:
  // what an invalidation covers has not been covered before.
  const int64_t runs = setting.rounds + 1;
  const int64_t count = std::clamp<int64_t>(
      kRecordGroups / (std::ssize(kKinds) * runs), 1, kInvalidationsARoundMax);
  Rows rows;
  for (const Kind& kind : kKinds) {
    const int64_t first = std::ssize(rows) * runs * count;
    LARDER_ASSIGN_OR_RETURN(Row row,
                            InvalidateRow(setting, kind, caches, first, count));
    rows.push_back(std::move(row));
  }
  return rows;
}

namespace {

absl::Status FillNamespace(cache::BlobCache* cache, const std::string& ns,
                           int64_t records, const RandomValues& values) {
  for (int64_t i = 0; i < records; ++i) {
    LARDER_RETURN_IF_ERROR(
        cache->Put(ns, KeyOf(i), values.Of(i), L2Put()).status());
  }
  return absl::OkStatus();
}

// Microseconds. Errors: when `ns` did not hold its records before, or does
// after.
absl::StatusOr<double> TimeFlush(cache::BlobCache* cache, const std::string& ns,
                                 int64_t records) {
  const std::string probes[] = {KeyOf(0), KeyOf(records - 1)};
  for (const std::string& key : probes) {
    if (cache->Get(ns, key).has_value()) continue;
    return absl::InternalError(absl::StrCat(ns, ": nothing to flush"));
  }
  const Stopwatch watch;
  LARDER_RETURN_IF_ERROR(cache->FlushNamespace(ns).status());
  const double micros = watch.micros();
  for (const std::string& key : probes) {
    if (!cache->Get(ns, key).has_value()) continue;
    return absl::InternalError(absl::StrCat(ns, ": not flushed"));
  }
  return micros;
}

}  // namespace

absl::StatusOr<Rows> FlushNamespaces(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, kNamespaces * 10);
  const int64_t of_each = records / kNamespaces;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "flush"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), RoomFor(2 * records))));
  cache::BlobCache* const cache = store->cache();
  const RandomValues values(kRecordBytes);
  Samples samples;
  // Round 0 fills. From then on each namespace is flushed and filled again at
  // once, so that the committer is as busy as it can be beside each flush.
  for (int round = 0; round <= setting.rounds; ++round) {
    std::vector<double> micros;
    for (int64_t n = 0; n < kNamespaces; ++n) {
      const std::string ns = absl::StrCat("of a part ", n);
      if (round > 0) {
        LARDER_ASSIGN_OR_RETURN(const double us, TimeFlush(cache, ns, of_each));
        micros.push_back(us);
      }
      LARDER_RETURN_IF_ERROR(FillNamespace(cache, ns, of_each, values));
    }
    LARDER_RETURN_IF_ERROR(store->Settle());
    if (round == 0) continue;
    samples.Add("larder", Quantile(micros, 0.99));
    samples.Add("larder, median", Quantile(micros, 0.5));
    samples.Add("larder, slowest", Quantile(micros, 1));
  }
  // Once: it takes as many puts as a round.
  LARDER_RETURN_IF_ERROR(FillNamespace(cache, kNamespace, records, values));
  LARDER_RETURN_IF_ERROR(store->Settle());
  LARDER_ASSIGN_OR_RETURN(const double of_all,
                          TimeFlush(cache, kNamespace, records));
  samples.Add("larder, all records in one namespace, once", of_all);
  Row row{"FlushNamespace, p99",
          "us",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
  row.bar = {AtMost("us", row.larder, 100),
             AtMost("us, all records in one namespace", of_all, 100)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
