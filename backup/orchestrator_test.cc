#include "backup/orchestrator.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/test_sink.h"
#include "cache/clock.h"
#include "cache/epoch_lock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::HasSubstr;

class FailingSource : public SnapshotSource {
 public:
  FailingSource(std::string name, bool required,
                absl::Status status = absl::DataLossError("source is damaged"))
      : name_(std::move(name)),
        required_(required),
        status_(std::move(status)) {}
  const std::string& name() const override { return name_; }
  bool required() const override { return required_; }
  absl::StatusOr<std::unique_ptr<SourceView>> Open(
      const SourceRequest&) override {
    return status_;
  }

 private:
  const std::string name_;
  const bool required_;
  const absl::Status status_;
};

class OrchestratorTest : public ::testing::Test {
 protected:
  static constexpr int64_t kStallMs = 40;
  static constexpr int64_t kSliceMs = 20;  // The fan-out's.

  std::shared_ptr<SinkLog> AddSink(BackupOrchestrator* orchestrator,
                                   TestSink::Options options = {}) {
    auto log = std::make_shared<SinkLog>();
    orchestrator->AddSink(std::make_unique<TestSink>(log, std::move(options)));
    return log;
  }
  void AddCache(BackupOrchestrator* orchestrator, bool required = false) {
    BlobCacheSource::Options options;
    options.required = required;
    options.range_records_max = 4;
    options.frame_chunk_bytes = 1000;
    orchestrator->AddSource(
        std::make_unique<BlobCacheSource>(cache_.Taker(), options));
  }
  static BackupRequest WithBlobs() {
    BackupRequest request;
    request.include_blob_cache = true;
    return request;
  }

  FakeCache cache_ = MakeFakeCache(40, 1500);
};

TEST_F(OrchestratorTest, EverySinkGetsTheSameChunks) {
  BackupOrchestrator orchestrator({});
  AddCache(&orchestrator);
  std::vector<std::shared_ptr<SinkLog>> logs;
  for (int i = 0; i < 5; ++i) logs.push_back(AddSink(&orchestrator));
  int64_t done = 0, calls = 0;
  BackupRequest request = WithBlobs();
  request.progress = [&](const BackupProgress& p) {
    EXPECT_GE(p.bytes_done, done);
    EXPECT_GE(p.bytes_total, p.bytes_done);
    EXPECT_EQ(p.source, "cache");
    done = p.bytes_done;
    ++calls;
  };
  const BackupReport report = orchestrator.Run(request);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(done, cache_.info.stored_bytes);
  EXPECT_GT(calls, 20);
  for (const auto& log : logs) {
    EXPECT_EQ(static_cast<int64_t>(log->chunks.size()), report.chunks);
    EXPECT_EQ(log->chunks, logs[0]->chunks);
    EXPECT_EQ(log->finishes, 1);
    EXPECT_EQ(log->aborts, 0);
  }
  EXPECT_LE(report.chunks_in_flight_peak, 8 + 2);
}

TEST_F(OrchestratorTest, ASinkThatFailsAtAnyCallFailsAlone) {
  int64_t chunks = 0;
  for (int at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("fails at call ", at));
    BackupOrchestrator orchestrator({});
    AddCache(&orchestrator);
    TestSink::Options bad;
    bad.name = "bad";
    bad.fail_at_call = at;
    const auto bad_log = AddSink(&orchestrator, bad);
    const auto good_log = AddSink(&orchestrator);
    const BackupReport report = orchestrator.Run(WithBlobs());
    EXPECT_TRUE(report.sinks[1].status.ok());
    EXPECT_EQ(good_log->finishes, 1);
    EXPECT_EQ(good_log->aborts, 0);
    if (report.outcome == Outcome::kOk) {
      chunks = report.chunks;
      EXPECT_EQ(at, chunks + 2);  // Begin, each chunk, Finish.
      break;
    }
    EXPECT_EQ(report.outcome, Outcome::kPartial);
    EXPECT_EQ(report.sinks[0].status.code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(bad_log->finishes, 0);
    EXPECT_EQ(bad_log->aborts, 1);
    // It says itself that it does not have it.
    EXPECT_FALSE(report.sinks[0].may_hold);
    EXPECT_FALSE(report.sinks[1].may_hold);
  }
}

// What it did of its last call, nobody knows.
TEST_F(OrchestratorTest, ASinkThatIsCutOffInItsLastCallMayHaveTheSnapshot) {
  const auto run = [this](int64_t fail_at_call) {
    BackupOrchestrator orchestrator({});
    AddCache(&orchestrator);
    TestSink::Options bad;
    bad.fail_at_call = static_cast<int>(fail_at_call);
    bad.failure = absl::UnavailableError("cut off");
    AddSink(&orchestrator, bad);
    AddSink(&orchestrator);
    return orchestrator.Run(WithBlobs());
  };
  const int64_t chunks = run(-1).chunks;
  for (const int64_t call : {chunks, chunks + 1}) {
    const BackupReport report = run(call);
    EXPECT_EQ(report.sinks[0].status.message(), "cut off");
    EXPECT_EQ(report.sinks[0].may_hold, call == chunks + 1);
    EXPECT_FALSE(report.sinks[1].may_hold);
  }
}

TEST_F(OrchestratorTest, WhenEverySinkFailsTheBackupDoes) {
  BackupOrchestrator orchestrator({});
  AddCache(&orchestrator);
  TestSink::Options bad;
  bad.fail_at_call = 5;
  AddSink(&orchestrator, bad);
  AddSink(&orchestrator, bad);
  const BackupReport report = orchestrator.Run(WithBlobs());
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(report.status.message()), HasSubstr("sink is full"));
}

TEST_F(OrchestratorTest, ASinkThatIsStuckIsDropped) {
  for (const int at : {0, 1, 10}) {
    SCOPED_TRACE(absl::StrCat("stuck in call ", at));
    const auto log = std::make_shared<SinkLog>();
    {
      BackupOrchestrator::Options options;
      options.sink_stall_ms_max = kStallMs;
      options.queue_chunks_max = 2;
      BackupOrchestrator orchestrator(options);
      AddCache(&orchestrator);
      TestSink::Options stuck;
      stuck.block_at_call = at;
      orchestrator.AddSink(std::make_unique<TestSink>(log, stuck));
      const auto good = AddSink(&orchestrator);
      const BackupReport report = orchestrator.Run(WithBlobs());
      EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
      EXPECT_EQ(report.sinks[0].status.code(),
                absl::StatusCode::kDeadlineExceeded);
      EXPECT_TRUE(report.sinks[1].status.ok());
      EXPECT_EQ(good->finishes, 1);
      // It still hangs, and is left out of the next backup.
      EXPECT_EQ(log->aborts, 0);
      EXPECT_EQ(orchestrator.Run(WithBlobs()).sinks.size(), 1u);
      log->Release();
    }
    EXPECT_EQ(log->aborts, 1);
    EXPECT_EQ(log->finishes, 0);
  }
}

// A call of it lasts ten times as long as one may that says nothing.
TEST_F(OrchestratorTest, ASinkThatSaysItGetsOnIsNotDropped) {
  class BusySink : public TestSink {
   public:
    BusySink(std::shared_ptr<SinkLog> log, Options options)
        : TestSink(log, std::move(options)), log_(std::move(log)) {}
    int64_t progress() const override {
      // Asked once in each slice of a wait.
      if (looks_.fetch_add(1) == 10 * kStallMs / kSliceMs) log_->Release();
      return looks_.load();
    }

   private:
    const std::shared_ptr<SinkLog> log_;
    mutable std::atomic<int64_t> looks_ = 0;
  };
  BackupOrchestrator::Options options;
  options.sink_stall_ms_max = kStallMs;
  BackupOrchestrator orchestrator(options);
  cache_ = MakeFakeCache(1, 10);
  AddCache(&orchestrator);
  TestSink::Options slow;
  slow.block_at_call = 1;
  const auto log = std::make_shared<SinkLog>();
  orchestrator.AddSink(std::make_unique<BusySink>(log, slow));
  const BackupReport report = orchestrator.Run(WithBlobs());
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(log->finishes, 1);
}

// Else the snapshot is taken away, and nobody has it.
TEST_F(OrchestratorTest, WhenTheSnapshotCannotLastASlowSinkIsNotWaitedFor) {
  BackupOrchestrator::Options options;
  options.sink_stall_ms_max = 3'600'000;
  options.sink_lag_ms_max = 60 * kStallMs;
  options.queue_chunks_max = 2;
  BackupOrchestrator orchestrator(options);
  cache_.used = 0.51;
  AddCache(&orchestrator);
  TestSink::Options stuck;
  stuck.block_at_call = 10;
  const auto log = std::make_shared<SinkLog>();
  orchestrator.AddSink(std::make_unique<TestSink>(log, stuck));
  const auto good = AddSink(&orchestrator);
  const BackupReport report = orchestrator.Run(WithBlobs());
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_EQ(report.sinks[0].status.message(),
            absl::StrCat("others waited for it for ", kStallMs,
                         " ms since half of what the snapshot may take was "
                         "used up"));
  EXPECT_EQ(good->finishes, 1);
  log->Release();
}

TEST_F(OrchestratorTest, CancelledAtAnyChunkNothingIsListed) {
  for (int at = 0; at < 40; at += 3) {
    BackupOrchestrator orchestrator({});
    AddCache(&orchestrator);
    const auto a = AddSink(&orchestrator), b = AddSink(&orchestrator);
    Cancellation cancellation;
    BackupRequest request = WithBlobs();
    request.cancellation = &cancellation;
    int calls = 0;
    request.progress = [&](const BackupProgress&) {
      if (calls++ == at) cancellation.Cancel();
    };
    const BackupReport report = orchestrator.Run(request);
    ASSERT_EQ(report.status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(report.outcome, Outcome::kFailed);
    for (const auto& log : {a, b}) {
      EXPECT_EQ(log->finishes, 0);
      EXPECT_EQ(log->aborts, 1);
    }
  }
}

TEST_F(OrchestratorTest, ARateIsKept) {
  constexpr int64_t kRate = 10'000;
  cache::ManualClock clock(1'700'000'000'000);
  constexpr int64_t kTick = 1'000'000;  // Of this clock.
  int64_t longest = 0;
  BackupOrchestrator orchestrator({.clock = &clock, .wait = [&](int64_t nanos) {
                                     longest = std::max(longest, nanos);
                                     clock.AdvanceMillis((nanos + kTick - 1) /
                                                         kTick);
                                   }});
  AddCache(&orchestrator);
  const auto log = AddSink(&orchestrator), other = AddSink(&orchestrator);
  BackupRequest request = WithBlobs();
  request.bytes_per_second_max = kRate;
  const BackupReport report = orchestrator.Run(request);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(log->chunks, other->chunks);
  // All but the last chunk have had their time.
  const int64_t paced =
      report.bytes_sent - static_cast<int64_t>(log->chunks.back().size());
  const int64_t expected = paced * (1'000'000'000 / kRate);
  EXPECT_GE(report.elapsed_nanos, expected - kTick);
  EXPECT_LE(report.elapsed_nanos, expected + report.chunks * kTick);
  // Cancellation is looked for meanwhile.
  EXPECT_LE(longest, 20 * kTick);
}

TEST_F(OrchestratorTest, CancellationReachesAWaitForTheRate) {
  cache::ManualClock clock(1'700'000'000'000);
  Cancellation cancellation;
  int waits = 0;
  BackupOrchestrator orchestrator({.clock = &clock, .wait = [&](int64_t) {
                                     // Time stands still.
                                     if (++waits == 3) cancellation.Cancel();
                                   }});
  AddCache(&orchestrator);
  const auto log = AddSink(&orchestrator);
  BackupRequest request = WithBlobs();
  request.bytes_per_second_max = 1;
  request.cancellation = &cancellation;
  const BackupReport report = orchestrator.Run(request);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(waits, 3);
  EXPECT_EQ(log->finishes, 0);
  EXPECT_EQ(log->aborts, 1);
}

TEST_F(OrchestratorTest, CancellationReachesAWaitForASlowSink) {
  BackupOrchestrator orchestrator({});
  AddCache(&orchestrator);
  TestSink::Options slow;
  slow.block_at_call = 3;
  const auto log = AddSink(&orchestrator, slow);
  Cancellation cancellation;
  BackupRequest request = WithBlobs();
  request.cancellation = &cancellation;
  std::thread canceller([&] {
    // Once the sink is stuck and the queue has filled, or before: the backup
    // must end in any case.
    cancellation.Cancel();
    log->Release();
  });
  EXPECT_EQ(orchestrator.Run(request).status.code(),
            absl::StatusCode::kCancelled);
  canceller.join();
  EXPECT_EQ(log->finishes, 0);
}

TEST_F(OrchestratorTest, AnOptionalSourceMayFail) {
  BackupOrchestrator orchestrator({});
  AddCache(&orchestrator);
  orchestrator.AddSource(std::make_unique<FailingSource>("other", false));
  const auto log = AddSink(&orchestrator);
  const BackupReport report = orchestrator.Run(WithBlobs());
  EXPECT_EQ(report.outcome, Outcome::kPartial);
  EXPECT_TRUE(report.sources[0].status.ok());
  EXPECT_EQ(report.sources[1].status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(log->finishes, 1);
}

TEST_F(OrchestratorTest, AFailingCachePartDoesNotFailTheRest) {
  BackupOrchestrator orchestrator({});
  AddCache(&orchestrator);
  FakeCache other = MakeFakeCache(3, 10);
  BlobCacheSource::Options options;
  options.name = "second";
  orchestrator.AddSource(
      std::make_unique<BlobCacheSource>(other.Taker(), options));
  const auto log = AddSink(&orchestrator);
  cache_.frames_until_abort = 30;
  const BackupReport report = orchestrator.Run(WithBlobs());
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_EQ(report.sources[0].status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(report.sources[1].status.ok());
  EXPECT_EQ(log->finishes, 1);
}

TEST_F(OrchestratorTest, ARequiredSourceMayNot) {
  for (const bool in_the_middle : {false, true}) {
    BackupOrchestrator orchestrator({});
    FakeCache other = MakeFakeCache(3, 10);
    BlobCacheSource::Options options;
    options.name = "second";
    orchestrator.AddSource(
        std::make_unique<BlobCacheSource>(other.Taker(), options));
    if (in_the_middle) {
      cache_.frames_until_abort = 30;
      AddCache(&orchestrator, /*required=*/true);
    } else {
      orchestrator.AddSource(std::make_unique<FailingSource>("other", true));
    }
    const auto log = AddSink(&orchestrator);
    const BackupReport report = orchestrator.Run(WithBlobs());
    EXPECT_EQ(report.outcome, Outcome::kFailed);
    EXPECT_EQ(report.status.code(), in_the_middle
                                        ? absl::StatusCode::kAborted
                                        : absl::StatusCode::kDataLoss);
    EXPECT_EQ(log->finishes, 0);
    EXPECT_EQ(log->aborts, 1);
  }
}

// A sink may take a minute to begin, and the cache changes meanwhile.
TEST_F(OrchestratorTest, IsFromWhenItsSourcesWerePinned) {
  cache::ManualClock clock(1'700'000'000'000);
  cache::l2::SimulatedDisk disk;
  BackupOrchestrator orchestrator({.clock = &clock});
  int64_t pinned_unix_ms = 0;
  orchestrator.AddSource(std::make_unique<BlobCacheSource>(
      [&](const cache::EpochLock::PinOptions& pin) {
        clock.AdvanceMillis(60'000);
        pinned_unix_ms = clock.NowUnixMillis();
        return cache_.Taker()(pin);
      },
      BlobCacheSource::Options()));
  orchestrator.AddSink(
      DirectorySink::Create("/archive", {.file_system = &disk}));
  const BackupReport report = orchestrator.Run(WithBlobs());
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.created_unix_ms, pinned_unix_ms);
  const auto archive = Archive::Open("/archive", &disk);
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(archive->FindAt(pinned_unix_ms - 1).status().code(),
            absl::StatusCode::kNotFound);
  const auto found = archive->FindAt(pinned_unix_ms);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->id, report.snapshot_id);
  EXPECT_EQ(found->manifest.header().created_unix_ms(), pinned_unix_ms);
}

// kUnavailable is what is said when no sink is left, too.
TEST_F(OrchestratorTest, ASourceThatIsUnavailableIsNotTheSinksFault) {
  for (const bool a_sink_fails : {false, true}) {
    BackupOrchestrator orchestrator({});
    orchestrator.AddSource(std::make_unique<FailingSource>(
        "cache", true, absl::UnavailableError("not before all is hydrated")));
    TestSink::Options bad;
    bad.name = "bad";
    bad.fail_at_call = a_sink_fails ? 0 : -1;
    AddSink(&orchestrator, bad);
    AddSink(&orchestrator);
    const BackupReport report = orchestrator.Run(WithBlobs());
    EXPECT_EQ(report.outcome, Outcome::kFailed);
    EXPECT_EQ(report.status, absl::UnavailableError(
                                 "source cache: not before all is hydrated"));
  }
}

TEST_F(OrchestratorTest, RefusesToRunWithoutSourceOrSinkOrNames) {
  BackupOrchestrator none({});
  EXPECT_EQ(none.Run({}).status.code(), absl::StatusCode::kInvalidArgument);
  BackupOrchestrator twins({});
  AddCache(&twins);
  AddCache(&twins);
  AddSink(&twins);
  EXPECT_EQ(twins.Run({}).status.code(), absl::StatusCode::kInvalidArgument);
}

// The bound of the header: queue, one being built, one with the slowest sink.
// A blob of any size passes through it.
TEST_F(OrchestratorTest, MemoryIsBoundedWhateverTheSizeOfABlob) {
  constexpr size_t kFrameBytes = 256 << 10;
  const std::string frame = RandomBytes(1, kFrameBytes);
  int64_t peaks[2];
  for (const int large : {0, 1}) {
    FakeCache cache;
    cache.make_frame = [&](size_t) { return frame; };
    const size_t frames = large == 1 ? 1024 : 64;  // 256 MiB and 16 MiB.
    cache.PutGenerated("ns", "blob", frames, kFrameBytes);
    BackupOrchestrator::Options options;
    options.queue_chunks_max = 3;
    BackupOrchestrator orchestrator(options);
    orchestrator.AddSource(std::make_unique<BlobCacheSource>(
        cache.Taker(), BlobCacheSource::Options()));
    class Discard : public TestSink {
     public:
      using TestSink::TestSink;
      absl::Status Append(
          const std::shared_ptr<const format::Chunk>&) override {
        return absl::OkStatus();
      }
    };
    orchestrator.AddSink(std::make_unique<Discard>(std::make_shared<SinkLog>(),
                                                   TestSink::Options()));
    orchestrator.AddSink(std::make_unique<Discard>(std::make_shared<SinkLog>(),
                                                   TestSink::Options()));
    const BackupReport report = orchestrator.Run(WithBlobs());
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_EQ(report.sources[0].totals.stored_bytes(),
              static_cast<int64_t>(frames * kFrameBytes));
    EXPECT_LE(report.chunks_in_flight_peak, 3 + 2);
    peaks[large] = report.bytes_in_flight_peak;
  }
  EXPECT_LE(peaks[1], (3 + 2) * ((1 << 20) + 1000));
  EXPECT_LE(peaks[0], (3 + 2) * ((1 << 20) + 1000));
}

// Niceness of the calling thread.
int Niceness() { return getpriority(PRIO_PROCESS, 0); }

constexpr int kLow = 19;

// Notes the niceness of who opens it, reads it and closes it. It emits a chunk
// in each of its steps, and is pressed from the second on, if at all.
class NiceSource : public SnapshotSource {
 public:
  static constexpr size_t kSteps = 6;
  struct Log {
    int open = -1;
    std::vector<int> steps;
    int close = -1;
  };

  NiceSource(bool gets_pressed, std::function<void()> before_last_step,
             Log* log)
      : gets_pressed_(gets_pressed),
        before_last_step_(std::move(before_last_step)),
        log_(log) {}
  const std::string& name() const override { return name_; }
  bool required() const override { return true; }
  absl::StatusOr<std::unique_ptr<SourceView>> Open(
      const SourceRequest&) override {
    log_->open = Niceness();
    return std::make_unique<View>(this);
  }

 private:
  class View : public SourceView {
   public:
    explicit View(const NiceSource* source) : source_(source) {}
    ~View() override { source_->log_->close = Niceness(); }
    format::SourceInfo Describe(const format::SourceInfo*) const override {
      return {};
    }
    int64_t bytes_estimate() const override { return 0; }
    double used() const override {
      return source_->gets_pressed_ && source_->log_->steps.size() >= 2 ? 0.26
                                                                        : 0.25;
    }
    absl::Status Produce(SourceOutput* out) override {
      std::vector<int>& steps = source_->log_->steps;
      return out->Repeat([&]() -> absl::StatusOr<bool> {
        steps.push_back(Niceness());
        if (steps.size() == kSteps) source_->before_last_step_();
        const absl::Status sent =
            out->EmitToAll(format::ChunkType::kNames, "x");
        if (!sent.ok()) return sent;
        return steps.size() < kSteps;
      });
    }

   private:
    const NiceSource* const source_;
  };

  const bool gets_pressed_;
  const std::function<void()> before_last_step_;
  Log* const log_;
  const std::string name_ = "nice";
};

// Notes the niceness of who appends to it and finishes it.
class NiceSink : public TestSink {
 public:
  struct Log {
    std::vector<int> appends;
    std::atomic<size_t> appended = 0;
    int finish = -1;
  };

  NiceSink(bool starts_lasting_threads, Log* log)
      : TestSink(std::make_shared<SinkLog>(), Options()),
        starts_lasting_threads_(starts_lasting_threads),
        log_(log) {}
  bool starts_lasting_threads() const override {
    return starts_lasting_threads_;
  }
  absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) override {
    log_->appends.push_back(Niceness());
    ++log_->appended;
    return TestSink::Append(chunk);
  }
  absl::StatusOr<SinkReceipt> Finish(
      const format::Manifest& manifest) override {
    log_->finish = Niceness();
    return TestSink::Finish(manifest);
  }

 private:
  const bool starts_lasting_threads_;
  Log* const log_;
};

struct NiceRun {
  NiceSource::Log source;
  NiceSink::Log sink;
  NiceSink::Log lasting_sink;
};

// Until its last step both sinks have got all from before, the header too.
void RunNice(bool background, bool gets_pressed, NiceRun* run) {
  BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::make_unique<NiceSource>(
      gets_pressed,
      [run] {
        while (run->sink.appended < NiceSource::kSteps ||
               run->lasting_sink.appended < NiceSource::kSteps) {
          std::this_thread::yield();
        }
      },
      &run->source));
  orchestrator.AddSink(std::make_unique<NiceSink>(false, &run->sink));
  orchestrator.AddSink(std::make_unique<NiceSink>(true, &run->lasting_sink));
  const BackupReport report = orchestrator.Run({.background = background});
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  // And the last step's chunk, and the trailer.
  ASSERT_EQ(run->sink.appends.size(), NiceSource::kSteps + 2);
}

// What takes and gives back the snapshot holds locks that requests wait for,
// and threads that outlive the backup work for others: both stay as they are.
TEST_F(OrchestratorTest, InTheBackgroundTheWorkAndNothingElseGivesWay) {
  const int usual = Niceness();
  if (usual == kLow) GTEST_SKIP() << "is itself of low priority";
  NiceRun run;
  RunNice(/*background=*/true, /*gets_pressed=*/false, &run);
  EXPECT_EQ(run.source.open, usual);
  EXPECT_EQ(run.source.steps, std::vector<int>(NiceSource::kSteps, kLow));
  EXPECT_EQ(run.source.close, usual);
  // What is queued at the end is not waited for.
  run.sink.appends.resize(NiceSource::kSteps);
  EXPECT_EQ(run.sink.appends, std::vector<int>(NiceSource::kSteps, kLow));
  EXPECT_EQ(run.sink.finish, usual);
  EXPECT_EQ(run.lasting_sink.appends,
            std::vector<int>(NiceSource::kSteps + 2, usual));
  EXPECT_EQ(Niceness(), usual);
}

TEST_F(OrchestratorTest, AtFullPriorityNothingGivesWay) {
  const int usual = Niceness();
  NiceRun run;
  RunNice(/*background=*/false, /*gets_pressed=*/false, &run);
  EXPECT_EQ(run.source.steps, std::vector<int>(NiceSource::kSteps, usual));
  EXPECT_EQ(run.sink.appends, std::vector<int>(NiceSource::kSteps + 2, usual));
}

// Else a busy machine would take its snapshot away from a backup.
TEST_F(OrchestratorTest, AViewThatIsPressedHurries) {
  const int usual = Niceness();
  if (usual == kLow) GTEST_SKIP() << "is itself of low priority";
  NiceRun run;
  RunNice(/*background=*/true, /*gets_pressed=*/true, &run);
  EXPECT_EQ(run.source.steps,
            (std::vector<int>{kLow, kLow, usual, usual, usual, usual}));
  // A sink that waits for a chunk takes one more as it is: of the third step at
  // the latest, behind the header.
  for (size_t i = 4; i < run.sink.appends.size(); ++i) {
    EXPECT_EQ(run.sink.appends[i], usual) << i;
  }
}

TEST_F(OrchestratorTest, ACacheIsReadInTheBackgroundUntilItIsPressed) {
  const int usual = Niceness();
  if (usual == kLow) GTEST_SKIP() << "is itself of low priority";
  cache_ = MakeFakeCache(400, 150);
  for (const bool pressed : {false, true}) {
    cache_.used = pressed ? 0.26 : 0.25;
    BackupOrchestrator orchestrator({});
    BlobCacheSource::Options options;
    options.frame_chunk_bytes = 1000;
    orchestrator.AddSource(
        std::make_unique<BlobCacheSource>(cache_.Taker(), options));
    AddSink(&orchestrator);
    std::vector<int> niceness;  // At each chunk of frames but the last.
    BackupRequest request = WithBlobs();
    request.progress = [&](const BackupProgress& p) {
      if (p.bytes_done > 0 && p.bytes_done < cache_.info.stored_bytes) {
        niceness.push_back(Niceness());
      }
    };
    const BackupReport report = orchestrator.Run(request);
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_GT(niceness.size(), 20u);
    EXPECT_EQ(niceness,
              std::vector<int>(niceness.size(), pressed ? usual : kLow));
  }
}

}  // namespace
}  // namespace larder::backup
