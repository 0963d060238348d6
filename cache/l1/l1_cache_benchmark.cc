// L1 lookups, alone and beside inserts; see docs/adr/0002-l1-eviction.md for
// miss ratios.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "cache/blob.h"
#include "cache/clock.h"
#include "cache/l1/l1_cache.h"

namespace larder::cache::l1 {
namespace {

// Keys of 16 bytes, as in the tables of peers.
std::string KeyOf(uint64_t i) {
  std::string key = absl::StrCat(i);
  return std::string(16 - key.size(), 'k') + key;
}

std::shared_ptr<const Blob> MakeBlob(int64_t bytes) {
  return std::make_shared<const Blob>(
      BlobAttributes{}, std::string(static_cast<size_t>(bytes), 'x'));
}

// A cache that holds `keys` blobs of 1 KiB, all of them.
struct Filled {
  explicit Filled(int64_t count) : cache({.bytes_max = int64_t{1} << 30}) {
    for (int64_t i = 0; i < count; ++i) {
      keys.push_back(KeyOf(static_cast<uint64_t>(i)));
      cache.Insert("pages", keys.back(), MakeBlob(1024),
                   SystemClock()->NowUnixMillis());
    }
  }
  L1Cache cache;
  std::vector<std::string> keys;
};

// Cheap, and different in each thread.
uint64_t NextRandom(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

Filled* FilledWithFew() {
  static Filled filled(32);
  return &filled;
}

Filled* FilledWithMany() {
  static Filled filled(100'000);
  return &filled;
}

void BM_Hit(benchmark::State& state) {
  Filled* const filled =
      state.range(0) == 32 ? FilledWithFew() : FilledWithMany();
  uint64_t random = static_cast<uint64_t>(state.thread_index()) + 1;
  int64_t now = SystemClock()->NowUnixMillis();
  int64_t sum = 0;
  for (auto ignored : state) {
    const std::string& key =
        filled->keys[NextRandom(&random) % filled->keys.size()];
    if (random % 1024 == 0) now = SystemClock()->NowUnixMillis();
    sum += filled->cache.Get("pages", key, now).blob->bytes()[0];
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(BM_Hit)->Arg(32)->Arg(100'000)->Threads(1)->Threads(2);

void BM_Miss(benchmark::State& state) {
  Filled* const filled = FilledWithFew();
  const std::string key(16, 'm');
  for (auto ignored : state) {
    benchmark::DoNotOptimize(filled->cache.Get("pages", key, 1));
  }
}
BENCHMARK(BM_Miss);

// Every insert evicts: the cache is full of blobs of the same size.
void BM_InsertFull(benchmark::State& state) {
  L1Cache cache({.bytes_max = int64_t{16} << 20});
  const auto blob = MakeBlob(state.range(0));
  for (uint64_t i = 0; cache.Stats().evictions == 0; ++i) {
    cache.Insert("fill", absl::StrCat(i), blob, 1);
  }
  uint64_t i = 0;
  for (auto ignored : state) cache.Insert("pages", KeyOf(i++), blob, 1);
}
BENCHMARK(BM_InsertFull)->Arg(100)->Arg(1024)->Arg(100'000);

// What a sweep costs an entry that is due.
void BM_SweepDue(benchmark::State& state) {
  constexpr int64_t kDue = 10'000;
  Filled stored(state.range(0));
  BlobAttributes attributes;
  attributes.expiry.expires_at_unix_ms = 1;
  const auto blob =
      std::make_shared<const Blob>(std::move(attributes), std::string("x"));
  for (auto ignored : state) {
    state.PauseTiming();
    for (int64_t i = 0; i < kDue; ++i) {
      stored.cache.Insert("due", absl::StrCat(i), blob, 0);
    }
    state.ResumeTiming();
    stored.cache.SweepDue(1, 2 * kDue, [](const L1Cache::EntryView&) {});
  }
  state.SetItemsProcessed(state.iterations() * kDue);
}
BENCHMARK(BM_SweepDue)->Arg(0)->Arg(100'000);

}  // namespace
}  // namespace larder::cache::l1
