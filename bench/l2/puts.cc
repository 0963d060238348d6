#include "bench/l2/puts.h"

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/data.h"
#include "bench/l2/peers.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "bench/stores/larder.h"
#include "bench/stores/rocksdb.h"
#include "cache/options.h"
#include "cache/status_macros.h"

namespace larder::bench {

namespace {

// All of them, and what loses on a kill what Larder may lose, or more.
std::vector<Peer> PutPeers(const Setting& setting, int64_t payload_bytes) {
  std::vector<Peer> peers = AllPeers(setting, payload_bytes);
  if (setting.Runs("rocksdb blobdb")) {
    peers.push_back({"rocksdb blobdb, no WAL", [](const std::string& dir) {
                       return OpenRocksDb(
                           {.dir = dir, .blobs = true, .wal = false});
                     }});
  }
  return peers;
}

// Microseconds of a put into a new store.
absl::StatusOr<double> TimePuts(const Setting& setting, const Peer& peer,
                                const std::vector<std::string>& keys,
                                const RandomValues& values) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "puts"));
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                          peer.open(scratch.Sub("store")));
  sync();  // No store waits for what another one has written.
  int64_t i = 0;
  const Stopwatch watch;
  for (const std::string& key : keys) {
    LARDER_RETURN_IF_ERROR(store->Put(key, values.Of(i++)));
  }
  const double micros = watch.micros() / static_cast<double>(keys.size());
  // Says whether some were evicted. Peers do not, and would compact for long.
  if (peer.name == "larder") LARDER_RETURN_IF_ERROR(store->Settle());
  return micros;
}

}  // namespace

absl::StatusOr<Rows> Put16KiB(const Setting& setting) {
  constexpr int64_t kBytes = 16 * kKiB;
  const int64_t count = setting.Scaled(32'000, 100);
  const std::vector<Peer> peers = PutPeers(setting, count * kBytes);
  const RandomValues values(kBytes);
  std::vector<std::string> keys;
  for (const int64_t i : Shuffled(count, 1)) keys.push_back(KeyOf(i));
  Samples samples;
  // Round 0 warms up. Each time another one is first.
  for (int round = 0; round <= setting.rounds; ++round) {
    for (size_t turn = 0; turn < peers.size(); ++turn) {
      const Peer& peer =
          peers[(turn + static_cast<size_t>(round)) % peers.size()];
      LARDER_ASSIGN_OR_RETURN(const double micros,
                              TimePuts(setting, peer, keys, values));
      if (round > 0) samples.Add(peer.name, micros);
    }
  }
  Row row{"put 16 KiB, interval",
          "us",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
  row.bar = {AtMost("larder / rocksdb blobdb",
                    row.larder / samples.Median("rocksdb blobdb"), 1),
             AtMost("larder / rocksdb blobdb, no WAL",
                    row.larder / samples.Median("rocksdb blobdb, no WAL"), 1),
             AtMost("larder / raw", row.larder / samples.Median("raw"), 1.3)};
  return Rows{std::move(row)};
}

namespace {

// Puts a second of `threads` threads, each with `count` keys of its own.
absl::StatusOr<double> PutRate(Store* store, const RandomValues& values,
                               int threads, int64_t count) {
  std::atomic<bool> failed = false;
  std::vector<std::thread> running;
  const Stopwatch watch;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      for (int64_t i = t * count; i < (t + 1) * count; ++i) {
        if (!store->Put(KeyOf(i), values.Of(i)).ok()) failed = true;
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  const double seconds = watch.seconds();
  if (failed) return absl::InternalError(absl::StrCat(store->name(), ": put"));
  return static_cast<double>(threads * count) / seconds;
}

}  // namespace

absl::StatusOr<Rows> PutEveryPut(const Setting& setting) {
  constexpr int kThreads = 8;
  const int64_t count = setting.Scaled(400, 20);  // Of each thread.
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "every_put"));
  cache::BlobCacheOptions options =
      L2Options(scratch.Sub("larder"), 512 * kMiB);
  options.durability = cache::Durability::kEveryPut;
  Stores stores;
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<LarderStore> larder,
                          LarderStore::Open(options));
  stores.push_back(std::move(larder));
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<Store> rocksdb,
      OpenRocksDb({.dir = scratch.Sub("rocksdb"), .sync = true}));
  stores.push_back(std::move(rocksdb));
  const RandomValues values(kKiB);
  const int counts[] = {1, kThreads};
  Samples samples;
  // Round 0 warms up. Another store is first each time, and every second time
  // another count of threads.
  for (int round = 0; round <= setting.rounds; ++round) {
    for (int turn = 0; turn < 2; ++turn) {
      const int threads = counts[(turn + round / 2) % 2];
      for (size_t i = 0; i < stores.size(); ++i) {
        Store* const store =
            stores[(i + static_cast<size_t>(round)) % stores.size()].get();
        LARDER_ASSIGN_OR_RETURN(const double rate,
                                PutRate(store, values, threads, count));
        if (round == 0) continue;
        samples.Add(absl::StrCat(store->name(), ", ", threads,
                                 threads == 1 ? " thread" : " threads"),
                    rate);
      }
    }
  }
  // Larder: none was evicted.
  for (const std::unique_ptr<Store>& store : stores) {
    LARDER_RETURN_IF_ERROR(store->Settle());
  }
  const std::string all = absl::StrCat("larder, ", kThreads, " threads");
  Row row{"put every_put, 8 threads",
          "puts/s",
          samples.Median(all),
          samples.Others(all),
          {}};
  row.bar = {AtLeast("8 threads / 1 thread",
                     row.larder / samples.Median("larder, 1 thread"), 4)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
