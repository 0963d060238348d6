// A sink for tests that keeps what it was given, and fails or blocks when told.
#ifndef LARDER_BACKUP_TEST_SINK_H_
#define LARDER_BACKUP_TEST_SINK_H_

#include <condition_variable>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/sink.h"
#include "cache/mutex.h"

namespace larder::backup {

// What a sink was told, kept beyond its life. Thread-safe.
struct SinkLog {
  cache::Mutex mu;
  std::condition_variable_any changed;
  std::vector<std::string> chunks;
  int aborts = 0;
  int finishes = 0;
  bool released = false;

  void Release() {
    cache::MutexLock lock(&mu);
    released = true;
    changed.notify_all();
  }
  void AwaitRelease() {
    cache::MutexLock lock(&mu);
    while (!released) changed.wait(mu);
  }
};

// Keeps chunks; fails, or blocks until released, in a given call.
class TestSink : public SnapshotSink {
 public:
  struct Options {
    std::string name = "sink";
    int fail_at_call = -1;  // Calls count from 0, Begin is the first.
    absl::Status failure = absl::ResourceExhaustedError("sink is full");
    int block_at_call = -1;
    std::vector<format::DumpHeader> bases = {};
  };
  TestSink(std::shared_ptr<SinkLog> log, Options options)
      : log_(std::move(log)), options_(std::move(options)) {}

  const std::string& name() const override { return options_.name; }
  absl::Status Begin(const format::DumpHeader&) override { return Call(); }
  absl::StatusOr<std::vector<format::DumpHeader>> Bases(
      absl::string_view) override {
    return options_.bases;
  }
  absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) override {
    absl::Status status = Call();
    if (!status.ok()) return status;
    cache::MutexLock lock(&log_->mu);
    log_->chunks.push_back(chunk->bytes);
    return status;
  }
  absl::StatusOr<SinkReceipt> Finish(const format::Manifest&) override {
    absl::Status status = Call();
    if (!status.ok()) return status;
    cache::MutexLock lock(&log_->mu);
    ++log_->finishes;
    return SinkReceipt{.bytes_written = 1, .packs = 1};
  }
  void Abort() override {
    cache::MutexLock lock(&log_->mu);
    ++log_->aborts;
  }

 private:
  absl::Status Call() {
    const int call = calls_++;
    if (call == options_.block_at_call) log_->AwaitRelease();
    if (call != options_.fail_at_call) return absl::OkStatus();
    return options_.failure;
  }

  const std::shared_ptr<SinkLog> log_;
  const Options options_;
  int calls_ = 0;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_TEST_SINK_H_
