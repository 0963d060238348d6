#include "bench/l2/footprint.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/child.h"
#include "bench/data.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kMemoryBudget = 16384 * kMiB;
constexpr int64_t kMemoryGets = 1000;
// So few that their own cost is nothing, and gets still hit.
constexpr int64_t kFewRecords = 1000;

absl::Status FillMemory(const std::string& dir, int64_t records,
                        const RandomValues& values) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          LarderStore::Open(L2Options(dir, kMemoryBudget)));
  return FillRecords(store.get(), 0, records, values, L2Put());
}

// Bytes of a process that has the L2 in `dir` open.
absl::StatusOr<double> MemoryOf(const std::string& dir) {
  LARDER_ASSIGN_OR_RETURN(const int status,
                          RunAgain({"--child=memory", "--dir", dir}));
  std::ifstream file(dir + ".memory");
  double bytes = 0;
  if (status != 0 || !(file >> bytes)) {
    return absl::InternalError("the child did not measure");
  }
  return bytes;
}

}  // namespace

int RunMemoryChild(const std::string& dir) {
  const int64_t before = AnonymousBytes();
  const absl::StatusOr<std::unique_ptr<LarderStore>> store =
      LarderStore::Open(L2Options(dir, kMemoryBudget));
  if (!store.ok()) return 1;
  for (int64_t i = 0; i < kMemoryGets; ++i) {
    if (!(*store)->Get(KeyOf(i), [](absl::string_view) {})) return 1;
  }
  std::ofstream(dir + ".memory") << AnonymousBytes() - before << "\n";
  return 0;
}

namespace {

absl::StatusOr<Row> MemoryRow(const Setting& setting, const char* work,
                              int64_t records, int64_t blob_bytes) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "memory"));
  const RandomValues values(blob_bytes);
  LARDER_RETURN_IF_ERROR(FillMemory(scratch.Sub("all"), records, values));
  LARDER_RETURN_IF_ERROR(FillMemory(scratch.Sub("few"), kFewRecords, values));
  Samples samples;
  // Round 0: whoever opens next finds settled what the fill left.
  for (int round = 0; round <= setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const double all, MemoryOf(scratch.Sub("all")));
    LARDER_ASSIGN_OR_RETURN(const double few, MemoryOf(scratch.Sub("few")));
    if (round == 0) continue;
    samples.Add("larder",
                (all - few) / static_cast<double>(records - kFewRecords));
    samples.Add("whatever the count, in all", few);
  }
  Row row{
      work, "bytes", samples.Median("larder"), samples.Others("larder"), {}};
  row.bar = {AtMost("bytes", row.larder, 2)};
  return row;
}

}  // namespace

absl::StatusOr<Rows> MemoryPerRecord(const Setting& setting) {
  const int64_t many = setting.Scaled(1'000'000, 10 * kFewRecords);
  LARDER_ASSIGN_OR_RETURN(
      Row trees, MemoryRow(setting, "memory per record", many, kRecordBytes));
  // What has a chain is in the allocation map as well. As many as 3.2 GiB hold.
  LARDER_ASSIGN_OR_RETURN(
      Row small, MemoryRow(setting, "memory per record, 1 KiB", many, kKiB));
  LARDER_ASSIGN_OR_RETURN(
      Row big, MemoryRow(setting, "memory per record, 16 KiB",
                         setting.Scaled(200'000, 10 * kFewRecords), 16 * kKiB));
  return Rows{std::move(trees), std::move(small), std::move(big)};
}

namespace {

struct Churn {
  double disk_of_live = 0;     // At the end, over the live payload.
  int64_t refused = 0;         // Puts.
  double worst_of_budget = 0;  // At any time, over l2_bytes_max.
};

// Puts `budget` bytes ten times over: new keys, and one in four in the place
// of a recent one.
absl::StatusOr<Churn> ChurnOnce(const Setting& setting, int64_t blob_bytes) {
  const int64_t budget = setting.Scaled(128 * kMiB, 16 * kMiB);
  constexpr int64_t kLookEvery = 1024;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "churn"));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LarderStore> store,
      LarderStore::Open(L2Options(scratch.Sub("l2"), budget)));
  const RandomValues values(blob_bytes);
  std::mt19937_64 random(1);
  Churn churn;
  const auto look = [&] {
    const int64_t disk = DiskBytes(scratch.path());
    churn.worst_of_budget =
        std::max(churn.worst_of_budget,
                 static_cast<double>(disk) / static_cast<double>(budget));
    return static_cast<double>(disk);
  };
  int64_t newest = 0;
  for (int64_t i = 0; i < 10 * budget / blob_bytes; ++i) {
    const bool again = newest > 0 && random() % 4 == 0;
    const int64_t recent = std::min(newest, budget / blob_bytes / 2);
    const int64_t key =
        again
            ? newest - 1 -
                  static_cast<int64_t>(random() % static_cast<uint64_t>(recent))
            : newest++;
    if (!store->Put(KeyOf(key), values.Of(i)).ok()) ++churn.refused;
    if (i % kLookEvery == 0) look();
  }
  LARDER_RETURN_IF_ERROR(store->cache()->Flush());
  const double disk = look();
  churn.disk_of_live =
      disk / static_cast<double>(store->cache()->Stats().l2.raw_bytes);
  return churn;
}

absl::StatusOr<Row> ChurnRow(const Setting& setting, const char* work,
                             int64_t blob_bytes, double limit) {
  // Once: it takes minutes, and depends on time only by when commits happen.
  LARDER_ASSIGN_OR_RETURN(const Churn churn, ChurnOnce(setting, blob_bytes));
  Row row{work, "disk / live payload", churn.disk_of_live, {}, {}};
  row.bar = {
      AtMost("disk / live", churn.disk_of_live, limit),
      AtMost("disk at any time / l2_bytes_max", churn.worst_of_budget, 1),
      // Design, L2 invariant 7: only what is larger than the budget.
      AtMost("puts refused", static_cast<double>(churn.refused), 0)};
  return row;
}

}  // namespace

absl::StatusOr<Rows> DiskAfterChurn(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(
      Row big, ChurnRow(setting, "disk after churn, 16 KiB", 16 * kKiB, 1.15));
  LARDER_ASSIGN_OR_RETURN(
      Row small, ChurnRow(setting, "disk after churn, 1 KiB", kKiB, 1.4));
  return Rows{std::move(big), std::move(small)};
}

}  // namespace larder::bench
