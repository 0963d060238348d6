#include "bench/backup/memory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/sink.h"
#include "bench/backup/archives.h"
#include "bench/backup/replica_child.h"
#include "bench/child.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/status_macros.h"
#include "replication/endpoint.h"

namespace larder::bench {
namespace {

constexpr int64_t kBudget = 16384 * kMiB;
constexpr int64_t kBlobBytes = 16 * kKiB;
// BackupOrchestrator: 10 chunks, each made in 1.3 MiB; BlobCacheSource: a range
// of 256 KiB, as records and as a message; zstd.
constexpr double kDumpMiBMax = 16;
// With the spool of a replica, and gRPC's buffers for one connection of it.
constexpr double kPrimaryMiBMax = kDumpMiBMax + 32 + 16;
// Its stream: a chunk, a message; and gRPC's buffers for all connections.
constexpr double kReplicaMiBMax = 9 + 64;

absl::Status Fill(const std::string& dir, int64_t count) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          LarderStore::Open(L2Options(dir, kBudget)));
  return FillStore(store.get(), count, RandomValues(kBlobBytes));
}

// How much the memory of some processes grows at most, looked at each
// millisecond until it is asked.
class MemoryWatch {
 public:
  explicit MemoryWatch(const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
      const int64_t before = AnonymousBytesOf(pid);
      processes_.push_back({pid, before, before});
    }
    looking_ = std::thread([this] {
      while (!stop_) {
        for (Process& p : processes_) {
          p.most = std::max(p.most, AnonymousBytesOf(p.pid));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  ~MemoryWatch() { Stop(); }
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  // Ends it. MiB of each, in their order, a line each.
  std::string Lines() {
    Stop();
    std::string lines;
    for (const Process& p : processes_) {
      absl::StrAppend(
          &lines,
          static_cast<double>(p.most - p.before) / static_cast<double>(kMiB),
          "\n");
    }
    return lines;
  }

 private:
  struct Process {
    pid_t pid;
    int64_t before;
    int64_t most;
  };

  void Stop() {
    stop_ = true;
    if (looking_.joinable()) looking_.join();
  }

  std::vector<Process> processes_;
  std::atomic<bool> stop_ = false;
  std::thread looking_;
};

// Of one dump of the L2 in `dir`, by the child `child`.
struct Memory {
  double dumps = 0;  // MiB of the process that does.
  double takes = 0;  // Of the replica, if there is one.
};

absl::StatusOr<Memory> MemoryOf(const char* child, const std::string& dir) {
  LARDER_ASSIGN_OR_RETURN(
      const int status,
      RunAgain({absl::StrCat("--child=", child), "--dir", dir}));
  std::ifstream file(dir + ".memory");
  Memory memory;
  if (status != 0 || !(file >> memory.dumps)) {
    return absl::InternalError("the child did not measure");
  }
  file >> memory.takes;
  return memory;
}

// The worst of all rounds: how far a sink falls behind is chance.
absl::StatusOr<Memory> WorstOf(const char* child, const std::string& dir,
                               int rounds) {
  Memory worst;
  for (int round = 0; round < rounds; ++round) {
    LARDER_ASSIGN_OR_RETURN(const Memory memory, MemoryOf(child, dir));
    worst.dumps = std::max(worst.dumps, memory.dumps);
    worst.takes = std::max(worst.takes, memory.takes);
  }
  return worst;
}

Row RowOf(const char* work, double large, double small, double bound) {
  Row row{work, "MiB", large, {{"a quarter of it", small}}, {}};
  row.bar = {AtMost("MiB", large, bound),
             AtMost("MiB, a quarter of it", small, bound)};
  return row;
}

}  // namespace

int RunDumpChild(const std::string& dir) {
  const absl::StatusOr<std::unique_ptr<LarderStore>> store =
      LarderStore::Open(L2Options(dir, kBudget));
  if (!store.ok()) return 1;
  MemoryWatch watch({getpid()});
  const std::string archive = dir + ".archive";
  const bool taken = BackUp((*store)->cache(), archive, {}).ok();
  std::ofstream(dir + ".memory") << watch.Lines();
  std::error_code ignored;
  std::filesystem::remove_all(archive, ignored);
  return taken ? 0 : 1;
}

int RunSendChild(const std::string& dir) {
  const std::string archive = dir + ".archive";
  const auto send = [&]() -> absl::Status {
    LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                            LarderStore::Open(L2Options(dir, kBudget)));
    LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<ServingChild> replica,
                            StartReplica(archive));
    LARDER_ASSIGN_OR_RETURN(const replication::Endpoint endpoint,
                            replication::ParseEndpoint(replica->line()));
    MemoryWatch watch({getpid(), replica->pid()});
    LARDER_ASSIGN_OR_RETURN(auto sink, SinkTo(endpoint));
    std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
    sinks.push_back(std::move(sink));
    LARDER_RETURN_IF_ERROR(
        BackUpTo(SourceOf(store->cache()), std::move(sinks)).status());
    std::ofstream(dir + ".memory") << watch.Lines();
    return absl::OkStatus();
  };
  const absl::Status status = send();
  if (!status.ok()) std::cerr << status << "\n";
  std::error_code ignored;
  std::filesystem::remove_all(archive, ignored);
  return status.ok() ? 0 : 1;
}

absl::StatusOr<Rows> MemoryOfDump(const Setting& setting) {
  constexpr int64_t kSmaller = 4;  // Times.
  const int64_t count = setting.Scaled(131'072, 16'384);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "memory"));
  const std::string large = scratch.Sub("large"), small = scratch.Sub("small");
  LARDER_RETURN_IF_ERROR(Fill(large, count));
  LARDER_RETURN_IF_ERROR(Fill(small, count / kSmaller));
  Memory of[2][2];  // To a directory and to a replica, of large and small.
  for (const int to_replica : {0, 1}) {
    for (const int is_small : {0, 1}) {
      LARDER_ASSIGN_OR_RETURN(
          of[to_replica][is_small],
          WorstOf(to_replica == 1 ? "send" : "dump",
                  is_small == 1 ? small : large, setting.rounds));
    }
  }
  return Rows{RowOf("memory of a dump, 2 GiB", of[0][0].dumps, of[0][1].dumps,
                    kDumpMiBMax),
              RowOf("memory of a primary, 2 GiB", of[1][0].dumps,
                    of[1][1].dumps, kPrimaryMiBMax),
              RowOf("memory of a replica, 2 GiB", of[1][0].takes,
                    of[1][1].takes, kReplicaMiBMax)};
}

}  // namespace larder::bench
