// The chunks of a dump, kept in memory, for tests of who takes them.
#ifndef LARDER_BACKUP_RECORDED_DUMP_H_
#define LARDER_BACKUP_RECORDED_DUMP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive_test_support.h"
#include "backup/blob_cache_source.h"
#include "backup/fake_snapshot.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/orchestrator.h"
#include "backup/sink.h"
#include "cache/clock.h"

namespace larder::backup {

// What a sink was told.
struct RecordedDump {
  format::DumpHeader header;
  std::vector<std::shared_ptr<const format::Chunk>> chunks;
  format::Manifest manifest;

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& chunk : chunks) sum += chunk->bytes.size();
    return sum;
  }
};

// Gives a dump to a sink, as the orchestrator does.
inline absl::StatusOr<SinkReceipt> Replay(const RecordedDump& dump,
                                          SnapshotSink* sink) {
  absl::Status status = sink->Begin(dump.header);
  for (const auto& chunk : dump.chunks) {
    if (status.ok()) status = sink->Append(chunk);
  }
  if (status.ok()) {
    absl::StatusOr<SinkReceipt> receipt = sink->Finish(dump.manifest);
    if (receipt.ok()) return receipt;
    status = receipt.status();
  }
  sink->Abort();
  return status;
}

// Keeps what it is told in `*dump`, which must outlive it.
class RecordingSink : public SnapshotSink {
 public:
  explicit RecordingSink(RecordedDump* dump) : dump_(dump) {}
  const std::string& name() const override { return name_; }
  absl::Status Begin(const format::DumpHeader& header) override {
    dump_->header = header;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<format::DumpHeader>> Bases(
      absl::string_view) override {
    return std::vector<format::DumpHeader>();
  }
  absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) override {
    dump_->chunks.push_back(std::make_shared<const format::Chunk>(*chunk));
    return absl::OkStatus();
  }
  absl::StatusOr<SinkReceipt> Finish(
      const format::Manifest& manifest) override {
    dump_->manifest = manifest;
    return SinkReceipt{};
  }
  void Abort() override {}

 private:
  const std::string name_ = "recording";
  RecordedDump* const dump_;
};

inline RecordedDump RecordDump(FakeCache* cache, TestBackupOptions options) {
  RecordedDump dump;
  cache::ManualClock clock(options.unix_ms);
  BackupOrchestrator orchestrator(
      {.clock = &clock,
       .random_seed = options.random_seed,
       .keys = options.keys,
       .random_bytes = TestRandom(options.random_seed)});
  orchestrator.AddSource(
      std::make_unique<BlobCacheSource>(cache->Taker(), options.source));
  orchestrator.AddSink(std::make_unique<RecordingSink>(&dump));
  orchestrator.Run({.include_blob_cache = options.include_blob_cache});
  return dump;
}

}  // namespace larder::backup

#endif  // LARDER_BACKUP_RECORDED_DUMP_H_
