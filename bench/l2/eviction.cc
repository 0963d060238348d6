#include "bench/l2/eviction.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "bench/data.h"
#include "bench/report.h"
#include "bench/simulated_cache.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/stats.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

using Policy = SimulatedCache::Policy;

constexpr const char* kTraces[] = {"cdn", "block-io", "web12", "lirs-multi2",
                                   "lirs-loop"};
// Twice the least that an L2 may have: there, a quarter is kept for its trees,
// which is not how L2s are.
constexpr int64_t kBudgetBytesMin = 16 * kMiB;
// Requests are cut off here, or a loop of large blobs would take an hour.
constexpr int64_t kRequestBytesMax = 12 * 1024 * kMiB;
// How often a replay looks at what L2 holds. A look commits, so: rarely.
constexpr int64_t kLooks = 64;

// What replaying into Larder came to.
struct Found {
  HitRatio ratio;
  int64_t refused = 0;  // Puts of at most half the budget.
  // Means over looks, from the first eviction on:
  double payload_bytes = 0;
  double overhead_bytes = 0;  // Of each blob: what it takes beside its payload.
};

class Looks {
 public:
  explicit Looks(cache::BlobCache* cache) : cache_(cache) {}

  absl::Status Look() {
    LARDER_RETURN_IF_ERROR(cache_->Flush());
    const cache::L2Stats l2 = cache_->Stats().l2;
    if (l2.evictions == 0 || l2.records == 0) return absl::OkStatus();
    ++looks_;
    payload_ += static_cast<double>(l2.raw_bytes);
    overhead_ += static_cast<double>(l2.bytes_in_use - l2.quarantined_bytes -
                                     l2.raw_bytes) /
                 static_cast<double>(l2.records);
    return absl::OkStatus();
  }
  // Errors: kFailedPrecondition when nothing was ever evicted.
  absl::Status Report(Found* found) const {
    if (looks_ == 0) {
      return absl::FailedPreconditionError("larder: never full, so no trial");
    }
    found->payload_bytes = payload_ / static_cast<double>(looks_);
    found->overhead_bytes = overhead_ / static_cast<double>(looks_);
    return absl::OkStatus();
  }

 private:
  cache::BlobCache* const cache_;
  int64_t looks_ = 0;
  double payload_ = 0;
  double overhead_ = 0;
};

absl::StatusOr<Found> ReplayIntoLarder(const Setting& setting,
                                       const Trace& trace, int64_t budget,
                                       bool background_commits) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "eviction"));
  cache::BlobCacheOptions options = L2Options(scratch.Sub("l2"), budget);
  options.background_commits = background_commits;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          LarderStore::Open(options));
  int64_t bytes_max = 0;
  for (const Request& r : trace.requests) {
    bytes_max = std::max(bytes_max, r.bytes);
  }
  const RandomValues values(bytes_max);
  const int64_t look_every =
      static_cast<int64_t>(trace.requests.size()) / kLooks + 1;
  Looks looks(store->cache());
  HitCounter counter;
  Found found;
  int64_t next_look = look_every;
  for (const Request& r : trace.requests) {
    const std::string key = KeyOf(r.key);
    const bool hit = store->Get(key, [](absl::string_view) {});
    counter.Count(r, hit);
    if (!hit) {
      const absl::string_view value =
          values.Of(r.key).substr(0, static_cast<size_t>(r.bytes));
      if (const absl::Status put = store->Put(key, value); !put.ok()) {
        // Only what is larger than the room for blobs may be.
        if (!absl::IsResourceExhausted(put)) return put;
        if (r.bytes <= budget / 2) ++found.refused;
      }
    }
    if (--next_look == 0) {
      LARDER_RETURN_IF_ERROR(looks.Look());
      next_look = look_every;
    }
  }
  LARDER_RETURN_IF_ERROR(looks.Look());
  LARDER_RETURN_IF_ERROR(looks.Report(&found));
  found.ratio = counter.ratio();
  return found;
}

Trace UpToRequestBytesMax(const Trace& trace) {
  int64_t bytes = 0;
  int64_t requests = 0;
  for (const Request& request : trace.requests) {
    bytes += request.bytes;
    if (bytes > kRequestBytesMax) break;
    ++requests;
  }
  return FirstRequests(trace, requests);
}

// Larder's over another's; 1 when neither hits at all.
double Over(double larder, double other) {
  return larder == 0 && other == 0 ? 1 : larder / other;
}

Row RowOf(absl::string_view work, absl::string_view what, const Found& larder,
          const std::vector<std::pair<std::string, HitRatio>>& peers,
          double HitRatio::*which) {
  Row row{std::string(work),
          absl::StrCat(what, " hit ratio"),
          larder.ratio.*which,
          {},
          {}};
  double best = 0;
  for (const auto& [name, ratio] : peers) {
    row.peers.emplace_back(name, ratio.*which);
    best = std::max(best, ratio.*which);
  }
  row.bar = {AtLeast("hits / best of fifo and lru", Over(row.larder, best), 1)};
  return row;
}

}  // namespace

absl::StatusOr<Rows> EvictionOn(const Setting& setting, const Trace& trace,
                                const Replay& replay) {
  const double share = static_cast<double>(replay.budget_percent) / 100;
  const double natural = static_cast<double>(FootprintBytes(trace)) * share;
  const double factor =
      std::max(1.0, static_cast<double>(replay.budget_bytes_min) / natural);
  const auto budget = static_cast<int64_t>(natural * factor);
  const Trace scaled = UpToRequestBytesMax(WithSizesTimes(trace, factor));
  LARDER_ASSIGN_OR_RETURN(
      const Found larder,
      ReplayIntoLarder(setting, scaled, budget, replay.background_commits));
  const auto overhead = static_cast<int64_t>(larder.overhead_bytes);
  const auto payload = static_cast<int64_t>(larder.payload_bytes);
  const auto simulated = [&](Policy policy, int64_t bytes_max,
                             int64_t overhead_bytes) {
    return SimulatedHitRatio(policy, scaled, bytes_max, overhead_bytes);
  };
  const std::vector<std::pair<std::string, HitRatio>> peers = {
      {"fifo", simulated(Policy::kFifo, budget, overhead)},
      {"lru", simulated(Policy::kLru, budget, overhead)},
      {"fifo, as much payload", simulated(Policy::kFifo, payload, 0)},
      {"lru, as much payload", simulated(Policy::kLru, payload, 0)},
  };
  const std::string work =
      absl::StrCat("eviction, ", trace.name, " ", replay.budget_percent, " %");
  Row objects = RowOf(work, "object", larder, peers, &HitRatio::objects);
  objects.bar.push_back(AtMost("puts of up to half the budget refused",
                               static_cast<double>(larder.refused), 0));
  Row of_bytes = RowOf(absl::StrCat(work, ", bytes"), "byte", larder, peers,
                       &HitRatio::bytes);
  return Rows{std::move(objects), std::move(of_bytes)};
}

absl::StatusOr<Rows> Eviction(const Setting& setting) {
  Rows rows;
  absl::Status none;
  for (const char* name : kTraces) {
    absl::StatusOr<Trace> trace = ReadTrace(setting.traces, name);
    if (absl::IsNotFound(trace.status())) {
      none = trace.status();
      continue;
    }
    LARDER_RETURN_IF_ERROR(trace.status());
    const auto all = static_cast<int64_t>(trace->requests.size());
    *trace = FirstRequests(*trace, setting.Scaled(all, 1));
    for (const int64_t percent : {1, 10}) {
      LARDER_ASSIGN_OR_RETURN(
          const Rows of_trace,
          EvictionOn(setting, *trace,
                     {.budget_percent = percent,
                      .budget_bytes_min = kBudgetBytesMin}));
      rows.insert(rows.end(), of_trace.begin(), of_trace.end());
    }
  }
  if (!rows.empty()) return rows;
  return absl::NotFoundError(absl::StrCat(
      none.message(), " of the traces is there; --traces says where they are"));
}

}  // namespace larder::bench
