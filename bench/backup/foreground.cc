#include "bench/backup/foreground.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/backup/archives.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kBlobBytes = 16 * kKiB;
// Between two requests. A server that does nothing else would be measured for
// its share of two cores, not for what a backup does to it.
constexpr std::chrono::microseconds kPause{50};
constexpr int kPutEvery = 2;  // Requests.

// A thread that gets blobs of random keys, and overwrites some.
class Traffic {
 public:
  Traffic(LarderStore* store, const RandomValues* values, int64_t count)
      : thread_([=, this] { Run(store, *values, count); }) {}
  ~Traffic() { Stop(); }

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // Once it has stopped: microseconds of each.
  const std::vector<double>& gets() const { return gets_; }
  const std::vector<double>& puts() const { return puts_; }
  bool failed() const { return failed_; }

 private:
  void Run(LarderStore* store, const RandomValues& values, int64_t count) {
    std::mt19937_64 random(std::random_device{}());
    Sum used;
    for (int64_t i = 0; !stop_; ++i) {
      std::this_thread::sleep_for(kPause);
      const std::string key =
          KeyOf(static_cast<int64_t>(random() % static_cast<uint64_t>(count)));
      const Stopwatch watch;
      if (i % kPutEvery == 0) {
        failed_ = failed_ || !store->Put(key, values.Of(i)).ok();
        puts_.push_back(watch.micros());
      } else {
        const bool found = store->Get(
            key, [&used](absl::string_view bytes) { used.Add(bytes); });
        gets_.push_back(watch.micros());
        failed_ = failed_ || !found;
      }
    }
  }

  std::atomic<bool> stop_ = false;
  bool failed_ = false;
  std::vector<double> gets_;
  std::vector<double> puts_;
  std::thread thread_;  // Last: uses what is above.
};

struct Phase {
  double seconds = 0;
  double get_micros = 0;  // p99.9.
  double put_micros = 0;
};

// Traffic while `meanwhile` runs.
template <typename Meanwhile>
absl::StatusOr<Phase> RunPhase(LarderStore* store, const RandomValues& values,
                               int64_t count, Meanwhile meanwhile) {
  LARDER_RETURN_IF_ERROR(store->cache()->Flush());
  sync();
  const Stopwatch watch;
  Traffic traffic(store, &values, count);
  LARDER_RETURN_IF_ERROR(meanwhile());
  const double seconds = watch.seconds();
  traffic.Stop();
  if (traffic.failed()) return absl::InternalError("a get or a put failed");
  return Phase{seconds, Quantile(traffic.gets(), 0.999),
               Quantile(traffic.puts(), 0.999)};
}

Row QuantileRow(const char* work, const Samples& samples) {
  Row row{work, "us", samples.Median("larder"), samples.Others("larder"), {}};
  row.bar = {AtMost("meanwhile / without",
                    row.larder / samples.Median("without"), 1.2)};
  return row;
}

}  // namespace

absl::StatusOr<Rows> Foreground(const Setting& setting) {
  const int64_t count = setting.Scaled(65'536, 1000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "foreground"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(
          L2Options(scratch.Sub("l2"), 6 * count * kBlobBytes + 512 * kMiB)));
  const RandomValues values(kBlobBytes);
  LARDER_RETURN_IF_ERROR(FillStore(store.get(), count, values));
  Samples gets;
  Samples puts;
  for (int round = 0; round < setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const Scratch archives,
                            Scratch::Make(setting, "archives"));
    const auto dump = [&] {
      return BackUp(store->cache(), archives.Sub("a"), {}).status();
    };
    LARDER_ASSIGN_OR_RETURN(const Phase beside,
                            RunPhase(store.get(), values, count, dump));
    const auto usual_dump = [&] {
      return BackUp(store->cache(), archives.Sub("b"), {.background = false})
          .status();
    };
    LARDER_ASSIGN_OR_RETURN(const Phase beside_usual,
                            RunPhase(store.get(), values, count, usual_dump));
    const auto nothing = [&] {
      std::this_thread::sleep_for(
          std::chrono::duration<double>(beside.seconds));
      return absl::OkStatus();
    };
    LARDER_ASSIGN_OR_RETURN(const Phase without,
                            RunPhase(store.get(), values, count, nothing));
    gets.Add("larder", beside.get_micros);
    gets.Add("dump at full priority", beside_usual.get_micros);
    gets.Add("without", without.get_micros);
    puts.Add("larder", beside.put_micros);
    puts.Add("dump at full priority", beside_usual.put_micros);
    puts.Add("without", without.put_micros);
  }
  return Rows{QuantileRow("foreground, get p99.9 beside a dump", gets),
              QuantileRow("foreground, put p99.9 beside a dump", puts)};
}

absl::StatusOr<Rows> PinHold(const Setting& setting) {
  const int64_t snapshots = setting.Scaled(300, 100);
  constexpr std::chrono::milliseconds kBetween{2};
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch, Scratch::Make(setting, "pin"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), 2048 * kMiB)));
  const RandomValues values(kKiB);
  std::atomic<bool> stop = false;
  std::atomic<bool> failed = false;
  std::thread putting([&] {
    constexpr int64_t kKeys = 100'000;
    for (int64_t i = 0; !stop && !failed; ++i) {
      failed = !store->Put(KeyOf(i % kKeys), values.Of(i)).ok();
    }
  });
  std::vector<double> micros;
  absl::Status status;
  for (int64_t i = 0; i < snapshots && status.ok(); ++i) {
    std::this_thread::sleep_for(kBetween);
    const auto snapshot = store->cache()->TakeSnapshot({.owner = "bench"});
    status = snapshot.status();
    if (status.ok()) {
      micros.push_back(static_cast<double>((*snapshot)->info().pin_nanos) /
                       1e3);
    }
  }
  stop = true;
  putting.join();
  LARDER_RETURN_IF_ERROR(status);
  if (failed) return absl::InternalError("a put failed");
  Row row{"pin hold, p99 beside puts",
          "us",
          Quantile(micros, 0.99),
          {{"median", Median(micros)}, {"slowest", Quantile(micros, 1)}},
          {}};
  row.bar = {AtMost("us", row.larder, 100)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
