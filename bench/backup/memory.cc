#include "bench/backup/memory.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/backup/archives.h"
#include "bench/child.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kBudget = 16384 * kMiB;
constexpr int64_t kBlobBytes = 16 * kKiB;
// BackupOrchestrator: 10 chunks, each made in 1.3 MiB; BlobCacheSource: a range
// of 256 KiB, as records and as a message; zstd.
constexpr double kBoundMiB = 16;

absl::Status Fill(const std::string& dir, int64_t count) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          LarderStore::Open(L2Options(dir, kBudget)));
  return FillStore(store.get(), count, RandomValues(kBlobBytes));
}

// MiB of a process that dumps the L2 in `dir`.
absl::StatusOr<double> MemoryOf(const std::string& dir) {
  LARDER_ASSIGN_OR_RETURN(const int status,
                          RunAgain({"--child=dump", "--dir", dir}));
  std::ifstream file(dir + ".memory");
  double bytes = 0;
  if (status != 0 || !(file >> bytes)) {
    return absl::InternalError("the child did not measure");
  }
  return bytes / static_cast<double>(kMiB);
}

}  // namespace

int RunDumpChild(const std::string& dir) {
  const absl::StatusOr<std::unique_ptr<LarderStore>> store =
      LarderStore::Open(L2Options(dir, kBudget));
  if (!store.ok()) return 1;
  const int64_t before = AnonymousBytes();
  std::atomic<bool> stop = false;
  int64_t most = before;
  std::thread looking([&] {
    while (!stop) {
      most = std::max(most, AnonymousBytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const std::string archive = dir + ".archive";
  const bool taken = BackUp((*store)->cache(), archive, {}).ok();
  stop = true;
  looking.join();
  std::error_code ignored;
  std::filesystem::remove_all(archive, ignored);
  std::ofstream(dir + ".memory") << most - before << "\n";
  return taken ? 0 : 1;
}

absl::StatusOr<Rows> MemoryOfDump(const Setting& setting) {
  constexpr int64_t kSmaller = 4;  // Times.
  const int64_t count = setting.Scaled(131'072, 16'384);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "memory"));
  LARDER_RETURN_IF_ERROR(Fill(scratch.Sub("large"), count));
  LARDER_RETURN_IF_ERROR(Fill(scratch.Sub("small"), count / kSmaller));
  // The worst of all rounds: how far the sink falls behind is chance.
  double large = 0;
  double small = 0;
  for (int round = 0; round < setting.rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const double l, MemoryOf(scratch.Sub("large")));
    LARDER_ASSIGN_OR_RETURN(const double s, MemoryOf(scratch.Sub("small")));
    large = std::max(large, l);
    small = std::max(small, s);
  }
  Row row{"memory of a dump, 2 GiB",
          "MiB",
          large,
          {{"a quarter of it", small}},
          {}};
  row.bar = {AtMost("MiB", large, kBoundMiB),
             AtMost("MiB, a quarter of it", small, kBoundMiB)};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
