// Sinks that hold different snapshots: what they lack is read once for all.
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/blob_cache_source.h"
#include "backup/cancellation.h"
#include "backup/directory_source.h"
#include "backup/fake_snapshot.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/format/message.h"
#include "backup/orchestrator.h"
#include "backup/test_sink.h"
#include "cache/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Chunk by chunk, as sinks got them.
using Dump = std::vector<std::string>;

format::ChunkHeader HeaderOf(const std::string& chunk) {
  const auto header = format::DecodeChunkHeader(
      absl::string_view(chunk).substr(0, format::kChunkHeaderBytes));
  EXPECT_TRUE(header.ok()) << header.status();
  return *header;
}

std::string PayloadOf(const std::string& chunk) {
  const auto payload = format::DecodePayload(
      HeaderOf(chunk), chunk.substr(format::kChunkHeaderBytes),
      format::DumpSeal());
  EXPECT_TRUE(payload.ok()) << payload.status();
  return *payload;
}

template <typename Message>
Message MessageOf(const std::string& chunk) {
  Message message;
  EXPECT_TRUE(format::ParseMessage(PayloadOf(chunk), &message).ok());
  return message;
}

class SeveralBasesTest : public ::testing::Test {
 protected:
  // What a sink holds that got all puts of `cache_` up to `hlc`.
  format::DumpHeader HeldUpTo(uint64_t hlc) const {
    format::DumpHeader header;
    header.set_snapshot_id(absl::StrCat("up-to-", hlc));
    format::SourceInfo* source = header.add_sources();
    source->set_name("cache");
    source->set_kind(format::SOURCE_KIND_BLOB_CACHE);
    format::CacheInfo* cache = source->mutable_cache();
    cache->set_lineage(cache_.info.lineage);
    cache->set_epoch(cache_.info.epoch - 1);
    cache->set_complete_through(hlc);
    cache->set_blobs_included(true);
    return header;
  }
  // Blobs that were put behind `hlc`.
  std::vector<BlobKey> PutBehind(uint64_t hlc) const {
    std::vector<BlobKey> keys;
    for (const auto& [key, blob] : cache_.blobs) {
      if (blob.record.attributes.hlc.value > hlc) keys.push_back(key);
    }
    return keys;
  }

  // Adds a sink, which holds nothing where `held` is 0.
  std::shared_ptr<SinkLog> AddSink(uint64_t held, TestSink::Options options) {
    auto log = std::make_shared<SinkLog>();
    if (held > 0) options.bases = {HeldUpTo(held)};
    sinks_.push_back(std::make_unique<TestSink>(log, std::move(options)));
    return log;
  }
  // A backup to the sinks added since the last one.
  BackupReport Run(std::unique_ptr<SnapshotSource> more = nullptr) {
    cache::ManualClock clock(1'700'000'000'000);
    BackupOrchestrator orchestrator({.queue_chunks_max = kQueueChunksMax,
                                     .sink_stall_ms_max = stall_ms_max_,
                                     .sink_lag_ms_max = lag_ms_max_,
                                     .clock = &clock,
                                     .random_seed = 1});
    BlobCacheSource::Options options;
    options.range_records_max = 4;
    options.frame_chunk_bytes = 1000;
    orchestrator.AddSource(
        std::make_unique<BlobCacheSource>(cache_.Taker(), options));
    if (more != nullptr) orchestrator.AddSource(std::move(more));
    for (auto& sink : sinks_) orchestrator.AddSink(std::move(sink));
    sinks_.clear();
    BackupRequest request;
    request.include_blob_cache = true;
    request.background = false;  // Or a busy machine passes for a stall.
    Cancellation cancellation;
    request.cancellation = &cancellation;
    int64_t chunks = 0;
    request.progress = [&](const BackupProgress& p) {
      bytes_done_ = p.bytes_done;
      if (chunks++ == cancel_at_chunk_) cancellation.Cancel();
    };
    const BackupReport report = orchestrator.Run(request);
    // The orchestrator waits for them when it is destroyed.
    for (const auto& log : stuck_) log->Release();
    return report;
  }

  static constexpr int32_t kQueueChunksMax = 8;
  int64_t stall_ms_max_ = 60'000;
  int64_t lag_ms_max_ = 600'000;
  int64_t cancel_at_chunk_ = -1;
  FakeCache cache_ = MakeFakeCache(40, 1500);  // Put at 100 to 139.
  std::vector<std::unique_ptr<SnapshotSink>> sinks_;
  std::vector<std::shared_ptr<SinkLog>> stuck_;  // Of sinks that block.
  int64_t bytes_done_ = 0;
};

// A replica may claim that it holds more of a snapshot than others do.
TEST_F(SeveralBasesTest, WhatOneSinkClaimsOfItsBaseDecidesForNoOther) {
  format::DumpHeader claimed = HeldUpTo(115);
  claimed.mutable_sources(0)->mutable_cache()->set_complete_through(139);
  TestSink::Options liar;
  liar.bases = {claimed};
  const auto lied = AddSink(0, liar);
  const auto honest = AddSink(115, {});
  const BackupReport report = Run();
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.sinks[0].base_snapshot_id, report.sinks[1].base_snapshot_id);
  const Dump alone = [this] {
    const auto log = AddSink(115, {});
    EXPECT_EQ(Run().outcome, Outcome::kOk);
    return log->chunks;
  }();
  EXPECT_EQ(honest->chunks.size(), alone.size());
  EXPECT_LT(lied->chunks.size(), alone.size());
}

TEST_F(SeveralBasesTest, EachFrameIsReadOnce) {
  const std::vector<uint64_t> held = {0, 115, 130, 0, 139};
  std::vector<std::shared_ptr<SinkLog>> logs;
  for (const uint64_t hlc : held) logs.push_back(AddSink(hlc, {}));
  const BackupReport report = Run();
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  int64_t frames = 0;
  for (const auto& [key, blob] : cache_.blobs) {
    frames += static_cast<int64_t>(blob.frames.size());
  }
  EXPECT_EQ(cache_.frames_read, frames);
  EXPECT_EQ(bytes_done_, cache_.info.stored_bytes);
  EXPECT_EQ(logs[0]->chunks, logs[3]->chunks);
  int64_t bytes = 0;
  for (size_t i = 0; i < held.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("holds all up to ", held[i]));
    const Dump& dump = logs[i]->chunks;
    EXPECT_EQ(report.sinks[i].base_snapshot_id,
              held[i] == 0 ? "" : HeldUpTo(held[i]).snapshot_id());
    // In their order, each with all of its bytes.
    std::vector<BlobKey> keys;
    std::string blobs, expected;
    for (size_t n = 0; n < dump.size(); ++n) {
      const format::ChunkHeader header = HeaderOf(dump[n]);
      EXPECT_EQ(header.sequence, n);
      if (i != 3) bytes += static_cast<int64_t>(dump[n].size());
      if (header.Is(format::ChunkType::kRecords)) {
        const auto message = MessageOf<format::Records>(dump[n]);
        for (const format::Record& r : message.records()) {
          keys.emplace_back(r.ns(), r.key());
        }
      }
      if (!header.Is(format::ChunkType::kFrames)) continue;
      const std::string payload = PayloadOf(dump[n]);
      uint32_t index_bytes;
      const size_t index_end = payload.size() - sizeof(index_bytes);
      std::memcpy(&index_bytes, payload.data() + index_end,
                  sizeof(index_bytes));
      blobs += payload.substr(0, index_end - index_bytes);
    }
    EXPECT_EQ(keys, PutBehind(held[i]));
    for (const BlobKey& key : keys) expected += cache_.Bytes(key);
    EXPECT_TRUE(blobs == expected);
    const auto trailer = MessageOf<format::Trailer>(dump.back());
    EXPECT_EQ(trailer.sources(0).totals().records(),
              static_cast<int64_t>(keys.size()));
    EXPECT_EQ(trailer.sources(0).totals().stored_bytes(),
              static_cast<int64_t>(expected.size()));
  }
  EXPECT_EQ(report.bytes_sent, bytes);
}

TEST_F(SeveralBasesTest, ADamagedFrameIsAProblemOfEachDumpThatNeedsIt) {
  const BlobKey damaged = PutBehind(115)[3];
  ASSERT_GT(cache_.blobs.at(damaged).frames.size(), 0u);
  cache_.damaged_frames.insert({damaged, 0});
  std::vector<std::shared_ptr<SinkLog>> logs;
  for (const uint64_t held : {0, 115, 139}) logs.push_back(AddSink(held, {}));
  EXPECT_EQ(Run().outcome, Outcome::kPartial);
  const std::vector<int64_t> problems = {1, 1, 0};
  for (size_t i = 0; i < logs.size(); ++i) {
    const auto trailer = MessageOf<format::Trailer>(logs[i]->chunks.back());
    EXPECT_EQ(trailer.sources(0).totals().problems_count(), problems[i]) << i;
  }
}

TEST_F(SeveralBasesTest, EachFileIsReadOnce) {
  const fs::path data = fs::path(::testing::TempDir()) / "several_bases";
  fs::remove_all(data);
  fs::create_directories(data);
  for (int i = 0; i < 30; ++i) {
    std::ofstream(data / absl::StrCat("file", i)) << std::string(3000, 'a' + i);
  }
  std::map<std::string, int> reads;
  DirectorySource::Options options;
  options.chunk_bytes = 10'000;
  options.after_first_read_for_test = [&](const std::string& path) {
    ++reads[path];
  };
  const auto full = AddSink(0, {});
  const auto delta = AddSink(130, {});
  ASSERT_EQ(
      Run(std::make_unique<DirectorySource>(data.string(), options)).outcome,
      Outcome::kOk);
  EXPECT_EQ(reads.size(), 30u);
  for (const auto& [path, count] : reads) EXPECT_EQ(count, 1) << path;
  // The same payloads, under other numbers, which the names have.
  std::vector<std::vector<std::string>> payloads;
  for (const auto& log : {full, delta}) {
    payloads.emplace_back();
    std::set<uint64_t> sent, named;
    for (const std::string& chunk : log->chunks) {
      const format::ChunkHeader header = HeaderOf(chunk);
      if (header.source != 1) continue;
      if (header.Is(format::ChunkType::kFiles)) {
        EXPECT_NE(header.flags & format::kFlagZstd, 0u);
        payloads.back().push_back(chunk.substr(format::kChunkHeaderBytes));
        sent.insert(header.sequence);
      } else {
        ASSERT_TRUE(header.Is(format::ChunkType::kNames));
        const auto names = MessageOf<format::Names>(chunk);
        for (const auto& c : names.chunks()) named.insert(c.sequence());
      }
    }
    EXPECT_GT(sent.size(), 5u);
    EXPECT_EQ(named, sent);
    const auto trailer = MessageOf<format::Trailer>(log->chunks.back());
    EXPECT_EQ(trailer.sources(1).totals().files(), 30);
  }
  EXPECT_EQ(payloads[0], payloads[1]);
  EXPECT_LT(delta->chunks.size(), full->chunks.size());
  fs::remove_all(data);
}

// Whichever it is, and whether or not it leaves its stream without a sink.
TEST_F(SeveralBasesTest, ASinkThatFailsAtAnyCallFailsAlone) {
  const std::vector<uint64_t> held = {0, 120, 130, 130};
  std::vector<Dump> expected;
  {
    std::vector<std::shared_ptr<SinkLog>> logs;
    for (const uint64_t hlc : held) logs.push_back(AddSink(hlc, {}));
    ASSERT_EQ(Run().outcome, Outcome::kOk);
    for (const auto& log : logs) expected.push_back(log->chunks);
  }
  for (size_t bad = 0; bad < held.size(); ++bad) {
    const int calls = static_cast<int>(expected[bad].size()) + 2;
    for (int at = 0; at < calls; ++at) {
      SCOPED_TRACE(absl::StrCat("sink ", bad, " fails at call ", at));
      std::vector<std::shared_ptr<SinkLog>> logs;
      for (size_t i = 0; i < held.size(); ++i) {
        logs.push_back(AddSink(held[i], {.fail_at_call = i == bad ? at : -1}));
      }
      const BackupReport report = Run();
      EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
      for (size_t i = 0; i < held.size(); ++i) {
        EXPECT_EQ(report.sinks[i].status.ok(), i != bad);
        EXPECT_EQ(logs[i]->finishes, i == bad ? 0 : 1);
        if (i == bad) continue;
        EXPECT_EQ(logs[i]->chunks, expected[i]);
      }
      // Of the fullest dump that was sent. Who fails behind its last chunks may
      // be seen to before or after that is told.
      if (bad == 0 && at + 2 * kQueueChunksMax > calls) continue;
      EXPECT_EQ(report.sources[0].totals.records(),
                static_cast<int64_t>(PutBehind(bad == 0 ? 120 : 0).size()));
    }
  }
}

// What only it needs is not read for it any more.
TEST_F(SeveralBasesTest, WhoIsGoneCostsNoMoreReads) {
  AddSink(0, {.fail_at_call = 1});
  const auto log = AddSink(138, {});  // Lacks one blob.
  EXPECT_EQ(Run().outcome, Outcome::kPartial);
  EXPECT_EQ(log->finishes, 1);
  EXPECT_GE(cache_.frames_read, 1);
  // Those of what its queue takes until it has failed.
  EXPECT_LE(cache_.frames_read, 2 * kQueueChunksMax);
}

TEST_F(SeveralBasesTest, WhoIsStuckIsDroppedForThoseThatWait) {
  for (const uint64_t held : {0, 130}) {  // On its base, and on another.
    SCOPED_TRACE(absl::StrCat("others hold all up to ", held));
    lag_ms_max_ = 100;
    stuck_ = {AddSink(0, {.block_at_call = 3})};
    const auto log = AddSink(held, {});
    const BackupReport report = Run();
    EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
    EXPECT_EQ(log->finishes, 1);
    EXPECT_TRUE(absl::IsDeadlineExceeded(report.sinks[0].status));
    EXPECT_THAT(report.sinks[0].status.message(), HasSubstr("others waited"));
  }
}

TEST_F(SeveralBasesTest, CancelledAtAnyChunkNothingIsListed) {
  int64_t chunks = 0;
  for (bool ended = false; !ended; ++chunks) {
    SCOPED_TRACE(absl::StrCat("cancelled at chunk ", chunks));
    cancel_at_chunk_ = chunks;
    std::vector<std::shared_ptr<SinkLog>> logs;
    for (const uint64_t held : {0, 120}) logs.push_back(AddSink(held, {}));
    const BackupReport report = Run();
    ended = report.outcome == Outcome::kOk;
    if (!ended) {
      EXPECT_EQ(report.status.code(), absl::StatusCode::kCancelled);
      for (const auto& log : logs) EXPECT_EQ(log->finishes, 0);
    }
  }
  EXPECT_GT(chunks, 40);
}

TEST_F(SeveralBasesTest, WhenThePinIsLostNothingIsListed) {
  for (int64_t frames = 1; frames < 20; ++frames) {
    cache_.frames_until_abort = frames;
    std::vector<std::shared_ptr<SinkLog>> logs;
    for (const uint64_t held : {0, 110}) logs.push_back(AddSink(held, {}));
    const BackupReport report = Run();
    EXPECT_EQ(report.status.code(), absl::StatusCode::kAborted);
    for (const auto& log : logs) EXPECT_EQ(log->finishes, 0);
  }
}

// Each base more costs a few chunks more, not another queue.
TEST_F(SeveralBasesTest, ChunksInFlightStayBounded) {
  cache_ = MakeFakeCache(400, 1500);
  stall_ms_max_ = 500;
  const auto log = AddSink(0, {});
  for (const uint64_t held : {110, 120}) {
    stuck_.push_back(AddSink(held, {.block_at_call = 3}));
  }
  const BackupReport report = Run();
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_EQ(log->finishes, 1);
  EXPECT_LE(report.chunks_in_flight_peak, kQueueChunksMax + 2 + 2 + 2);
}

}  // namespace
}  // namespace larder::backup
