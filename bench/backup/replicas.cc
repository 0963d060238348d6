#include "bench/backup/replicas.h"

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/directory_source.h"
#include "backup/sink.h"
#include "backup/source.h"
#include "bench/backup/archives.h"
#include "bench/backup/replica_child.h"
#include "bench/child.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "bench/stores/plain_copy.h"
#include "cache/status_macros.h"
#include "replication/endpoint.h"
#include "replication/tcp_proxy.h"

namespace larder::bench {
namespace {

constexpr int64_t kBlobBytes = 16 * kKiB;
constexpr int kReplicas = 3;
constexpr int64_t kCuts = 100;

absl::StatusOr<std::unique_ptr<LarderStore>> Filled(const Scratch& scratch,
                                                    int64_t count) {
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<LarderStore> store,
      LarderStore::Open(
          L2Options(scratch.Sub("l2"), 2 * count * kBlobBytes + 512 * kMiB)));
  LARDER_RETURN_IF_ERROR(
      FillStore(store.get(), count, RandomValues(kBlobBytes)));
  return store;
}

using MakeSource = absl::FunctionRef<std::unique_ptr<backup::SnapshotSource>()>;

// CPU milliseconds of this process for a full dump to so many replicas.
absl::StatusOr<double> CpuOfDump(const Setting& setting, MakeSource source,
                                 int replicas) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "replicas"));
  std::vector<std::unique_ptr<ServingChild>> children;
  std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
  for (int i = 0; i < replicas; ++i) {
    LARDER_ASSIGN_OR_RETURN(auto child,
                            StartReplica(scratch.Sub(absl::StrCat(i))));
    LARDER_ASSIGN_OR_RETURN(const replication::Endpoint endpoint,
                            replication::ParseEndpoint(child->line()));
    LARDER_ASSIGN_OR_RETURN(auto sink, SinkTo(endpoint));
    sinks.push_back(std::move(sink));
    children.push_back(std::move(child));
  }
  sync();
  const double before = CpuNanos();
  LARDER_RETURN_IF_ERROR(BackUpTo(source(), std::move(sinks)).status());
  return (CpuNanos() - before) / 1e6;
}

absl::StatusOr<Row> RowOf(const Setting& setting, const char* work,
                          MakeSource source) {
  Samples cpu;
  for (int round = -1; round < setting.rounds; ++round) {  // -1 warms up.
    for (const int replicas : {1, kReplicas}) {
      LARDER_ASSIGN_OR_RETURN(const double millis,
                              CpuOfDump(setting, source, replicas));
      if (round < 0) continue;
      cpu.Add(replicas == 1 ? "1 replica" : "larder", millis);
    }
  }
  Row row{work, "ms", cpu.Median("larder"), cpu.Others("larder"), {}};
  row.bar = {
      AtMost("3 replicas / 1", row.larder / cpu.Median("1 replica"), 1.6)};
  return row;
}

}  // namespace

absl::StatusOr<Rows> ReplicaCpu(const Setting& setting) {
  const int64_t count = setting.Scaled(32'768, 100);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "primary"));
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          Filled(scratch, count));
  LARDER_ASSIGN_OR_RETURN(
      Row blobs, RowOf(setting, "3 replicas, CPU time, incompressible blobs",
                       [&store] { return SourceOf(store->cache()); }));
  const std::string files = scratch.Sub("files");
  std::string value;
  LARDER_RETURN_IF_ERROR(
      FillPlainFiles(files, count, [&value](int64_t i) -> absl::string_view {
        return value = JsonValue(i, kBlobBytes);
      }));
  LARDER_ASSIGN_OR_RETURN(
      Row json, RowOf(setting, "3 replicas, CPU time, files of JSON", [&files] {
        return std::make_unique<backup::DirectorySource>(
            files, backup::DirectorySource::Options());
      }));
  return Rows{std::move(blobs), std::move(json)};
}

absl::StatusOr<Rows> CutTransfer(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "primary"));
  const int64_t count = setting.Scaled(32'768, 4096);
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          Filled(scratch, count));
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<ServingChild> replica,
                          StartReplica(scratch.Sub("archive")));
  LARDER_ASSIGN_OR_RETURN(const replication::Endpoint endpoint,
                          replication::ParseEndpoint(replica->line()));
  // The last cut comes before the end, so that all of them come.
  const int64_t between = count * kBlobBytes * 9 / 10 / kCuts;
  int64_t connections = 0;
  replication::TcpProxy proxy(endpoint.port, [&connections, between] {
    return connections++ < kCuts ? between : int64_t{-1};
  });
  LARDER_ASSIGN_OR_RETURN(auto sink,
                          SinkTo({.host = "127.0.0.1", .port = proxy.port()}));
  std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
  sinks.push_back(std::move(sink));
  const Stopwatch watch;
  LARDER_ASSIGN_OR_RETURN(const Taken taken,
                          BackUpTo(SourceOf(store->cache()), std::move(sinks)));
  const double seconds = watch.seconds();
  const auto sent = static_cast<double>(proxy.bytes_from_client());
  const auto dump = static_cast<double>(taken.sent_bytes);
  Row row{"100 cuts in one transfer, bytes sent",
          "MB",
          sent / 1e6,
          {{"dump", dump / 1e6},
           {"cuts", static_cast<double>(proxy.cuts())},
           {"seconds", seconds}},
          {}};
  row.bar = {AtMost("sent / dump", sent / dump, 1.1),
             AtLeast("cuts", static_cast<double>(proxy.cuts()), double{kCuts})};
  return Rows{std::move(row)};
}

}  // namespace larder::bench
