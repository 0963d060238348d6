#include "bench/l2/gets.h"

#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/l2/peers.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "bench/stores/larder.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/stats.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

// Enough for steady figures; Redis takes seconds for it.
constexpr int64_t kGetsMax = 50'000;

struct Shape {
  const char* work;
  int64_t keys;
  int64_t bytes;
};

// Reads `keys` from `store`. Returns nanoseconds a get.
absl::StatusOr<double> TimeGets(Store* store,
                                const std::vector<std::string>& keys,
                                uint64_t* sum) {
  Sum used;
  const Stopwatch watch;
  for (const std::string& key : keys) {
    const bool found =
        store->Get(key, [&](absl::string_view b) { used.Add(b); });
    if (!found) {
      return absl::DataLossError(
          absl::StrCat(store->name(), ": ", key, ": not found"));
    }
  }
  const double nanos = watch.nanos();
  *sum = used.value();
  return nanos / static_cast<double>(keys.size());
}

// Microseconds a get, of each store. All must have read the same bytes.
absl::StatusOr<Samples> RunRounds(const Setting& setting, const Stores& stores,
                                  int64_t keys_count) {
  Samples samples;
  // Round 0 warms up the page cache and the stores' own.
  for (int round = 0; round <= setting.rounds; ++round) {
    std::vector<std::string> keys;
    for (const int64_t i : Shuffled(keys_count, static_cast<uint64_t>(round))) {
      if (static_cast<int64_t>(keys.size()) == kGetsMax) break;
      keys.push_back(KeyOf(i));
    }
    std::optional<uint64_t> expected;
    for (size_t turn = 0; turn < stores.size(); ++turn) {
      // Another one is first in each round.
      const size_t which = (turn + static_cast<size_t>(round)) % stores.size();
      Store* const store = stores[which].get();
      uint64_t sum = 0;
      LARDER_ASSIGN_OR_RETURN(const double nanos, TimeGets(store, keys, &sum));
      if (expected.value_or(sum) != sum) {
        return absl::DataLossError(
            absl::StrCat(store->name(), ": other bytes than its peers'"));
      }
      expected = sum;
      if (round > 0) samples.Add(store->name(), nanos / 1e3);
    }
  }
  return samples;
}

// The work on incompressible values; the caller adds the bar.
absl::StatusOr<Row> RunGets(const Setting& setting, const Shape& shape) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "gets"));
  LARDER_ASSIGN_OR_RETURN(
      const Stores stores,
      OpenAll(AllPeers(setting, shape.keys * shape.bytes), scratch.path()));
  const RandomValues values(shape.bytes);
  LARDER_RETURN_IF_ERROR(
      FillAll(stores, shape.keys, [&](int64_t i) { return values.Of(i); }));
  LARDER_ASSIGN_OR_RETURN(const Samples samples,
                          RunRounds(setting, stores, shape.keys));
  return Row{
      shape.work, "us", samples.Median("larder"), samples.Others("larder"), {}};
}

double PeerOf(const Row& row, absl::string_view name) {
  for (const auto& [peer, value] : row.peers) {
    if (peer == name) return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// LMDB both ways: copied out, and zero-copy as Larder's gets are.
std::vector<Clause> AtMostOfLmdb(const Row& row, double limit) {
  std::vector<Clause> bar;
  for (const char* name : {"lmdb", "lmdb, zero-copy"}) {
    bar.push_back(AtMost(absl::StrCat("larder / ", name),
                         row.larder / PeerOf(row, name), limit));
  }
  return bar;
}

}  // namespace

absl::StatusOr<Rows> Get16KiB(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(
      Row row,
      RunGets(setting, {"get 16 KiB", setting.Scaled(32'000, 100), 16 * kKiB}));
  const double rocks =
      std::min(PeerOf(row, "rocksdb"), PeerOf(row, "rocksdb blobdb"));
  row.bar = {AtMost("larder / lmdb", row.larder / PeerOf(row, "lmdb"), 1),
             AtLeast("faster rocksdb / larder", rocks / row.larder, 4)};
  return Rows{std::move(row)};
}

absl::StatusOr<Rows> Get1KiB(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(
      Row row,
      RunGets(setting, {"get 1 KiB", setting.Scaled(200'000, 100), kKiB}));
  row.bar = AtMostOfLmdb(row, 1);
  return Rows{std::move(row)};
}

absl::StatusOr<Rows> Get5MiB(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(Row row,
                          RunGets(setting, {"get 5 MiB incompressible",
                                            setting.Scaled(64, 4), 5 * kMiB}));
  row.bar = AtMostOfLmdb(row, 1.3);
  row.bar.push_back(
      AtLeast("redis / larder", PeerOf(row, "redis") / row.larder, 5));
  return Rows{std::move(row)};
}

namespace {

// zstd by itself: values compressed in memory, at Larder's level, each
// decompressed by one core into the same buffer.
class ZstdStore : public Store {
 public:
  std::string name() const override { return "zstd, one core"; }
  absl::Status Put(absl::string_view, absl::string_view bytes) override {
    std::string packed(ZSTD_compressBound(bytes.size()), '\0');
    const size_t size = ZSTD_compress(packed.data(), packed.size(),
                                      bytes.data(), bytes.size(), 1);
    if (ZSTD_isError(size)) return absl::InternalError("zstd");
    packed.resize(size);
    packed.shrink_to_fit();
    packed_.push_back(std::move(packed));
    keys_.push_back(KeyOf(static_cast<int64_t>(keys_.size())));
    if (buffer_.size() < bytes.size()) buffer_.resize(bytes.size());
    return absl::OkStatus();
  }
  bool Get(absl::string_view key, Use use) override {
    const auto it = std::find(keys_.begin(), keys_.end(), key);
    if (it == keys_.end()) return false;
    const std::string& packed =
        packed_[static_cast<size_t>(it - keys_.begin())];
    const size_t size =
        ZSTD_decompressDCtx(context_.get(), buffer_.data(), buffer_.size(),
                            packed.data(), packed.size());
    if (ZSTD_isError(size)) return false;
    use(absl::string_view(buffer_.data(), size));
    return true;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::vector<std::string> keys_;  // A few.
  std::vector<std::string> packed_;
  const std::unique_ptr<ZSTD_DCtx, Free> context_{ZSTD_createDCtx()};
  std::string buffer_;
};

}  // namespace

absl::StatusOr<Rows> Get5MiBJson(const Setting& setting) {
  constexpr int64_t kBytes = 5 * kMiB;
  const int64_t keys = setting.Scaled(64, 4);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "json"));
  Stores stores;
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<LarderStore> larder,
      LarderStore::Open(
          L2Options(scratch.Sub("larder"), keys * kBytes + 512 * kMiB)));
  cache::BlobCache* const cache = larder->cache();
  stores.push_back(std::move(larder));
  stores.push_back(std::make_unique<ZstdStore>());
  std::string value;
  LARDER_RETURN_IF_ERROR(FillAll(stores, keys, [&](int64_t i) {
    value = JsonValue(i, kBytes);
    return absl::string_view(value);
  }));
  const cache::L2Stats stored = cache->Stats().l2;
  if (stored.stored_bytes > stored.raw_bytes / 2) {
    return absl::InternalError("JSON was not stored compressed");
  }
  LARDER_ASSIGN_OR_RETURN(const Samples samples,
                          RunRounds(setting, stores, keys));
  const auto rate = [&](absl::string_view name) {
    return static_cast<double>(kBytes) / samples.Median(name);  // MB/s
  };
  const double zstd = rate("zstd, one core");
  Row row{
      "get 5 MiB JSON", "MB/s", rate("larder"), {{"zstd, one core", zstd}}, {}};
  row.bar = {AtLeast("larder / zstd, one core", row.larder / zstd, 1.6)};
  return Rows{std::move(row)};
}

absl::StatusOr<Rows> GetPart(const Setting& setting) {
  constexpr int64_t kWhole = 64 * kMiB;
  constexpr int64_t kPart = 64 * kKiB;
  constexpr int kBlobs = 4;
  constexpr int kPartsARound = 1000;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "part"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("larder"), 1024 * kMiB)));
  LARDER_RETURN_IF_ERROR(FillStore(store.get(), kBlobs, RandomValues(kWhole)));
  Samples samples;
  for (int round = 0; round <= setting.rounds; ++round) {
    Sum used;
    const Stopwatch whole;
    for (int64_t i = 0; i < kBlobs; ++i) {
      if (!store->Get(KeyOf(i), [&](absl::string_view b) { used.Add(b); })) {
        return absl::DataLossError("get of the whole: not found");
      }
    }
    const double whole_us = whole.micros() / kBlobs;
    const Stopwatch part;
    for (int i = 0; i < kPartsARound; ++i) {
      const std::optional<cache::Hit> hit = store->cache()->GetRange(
          kNamespace, KeyOf(i % kBlobs), kWhole / 2, kPart);
      if (!hit.has_value() || hit->bytes().size() != kPart) {
        return absl::DataLossError("partial get: not found");
      }
      used.Add(hit->bytes());
    }
    if (round == 0 || used.value() == 0) continue;
    samples.Add("larder", part.micros() / kPartsARound);
    samples.Add("larder, the whole", whole_us);
  }
  Row row{"partial get of 64 KiB of 64 MiB",
          "us",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
  row.bar = {AtMost("part / whole",
                    row.larder / samples.Median("larder, the whole"), 0.01)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
