// Runs a backup: every source read once, compressed once, sent to every sink,
// whatever each of them holds already.
//
//   BackupOrchestrator orchestrator({});
//   orchestrator.AddSource(std::make_unique<DirectorySource>("/srv/data",
//   ...)); orchestrator.AddSink(DirectorySink::Create("/mnt/backup", {}));
//   BackupReport report = orchestrator.Run({.include_blob_cache = true});
#ifndef LARDER_BACKUP_ORCHESTRATOR_H_
#define LARDER_BACKUP_ORCHESTRATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/cancellation.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/dump.pb.h"
#include "backup/outcome.h"
#include "backup/sink.h"
#include "backup/source.h"
#include "cache/clock.h"

namespace larder::backup_internal {
class FanOut;
class GivingWay;
}  // namespace larder::backup_internal

namespace larder::backup {

// Passed to BackupRequest::progress as chunks are sent, from threads of
// Run()'s, one call at a time; they may be of low priority, as
// SourceOutput::Repeat() says.
struct BackupProgress {
  std::string source;
  int64_t bytes_done = 0;   // Of the sources.
  int64_t bytes_total = 0;  // An estimate; never below `bytes_done`.
  int64_t bytes_sent = 0;   // Of chunks, to the sink that gets most.
};

struct BackupRequest {
  bool include_blob_cache = false;
  // Each sink gets what changed since the newest snapshot that it holds, where
  // that is possible; `full`: everything; `base_id`: what changed since then,
  // or the sink fails, kNotFound, when it cannot build on that one.
  bool full = false;
  std::string base_id = "";
  // Of chunks that are read and sent, to however many sinks; no bursts. 0: no
  // limit. A chunk of 1 MiB goes at once: with less than 64 KiB a second, of
  // all sinks on the same base, a replica may take the pause for a cut.
  int64_t bytes_per_second_max = 0;
  // What takes long, reading caches, sealing their chunks and writing to
  // directories, is done by threads of the lowest priority, which take only
  // what CPU time others of the process leave, so that requests do not wait for
  // a backup. On a machine that is busy all the time that is little: once a
  // quarter is used up of what a pin may take, age or bytes, the backup goes on
  // as others do (docs/adr/0013-backups-give-way.md).
  bool background = true;
  std::function<void(const BackupProgress&)> progress =
      nullptr;                                 // May be empty.
  const Cancellation* cancellation = nullptr;  // Borrowed; may be null.
};

struct SourceResult {
  std::string name;
  bool required = false;
  absl::Status status;
  format::SourceInfo info;
  // Of the fullest dump that was sent. Includes `problems`: what of the source
  // could not be taken.
  format::SourceTotals totals;
};

struct SinkResult {
  std::string name;
  absl::Status status;
  SinkReceipt receipt;  // When OK.
  // Not OK, but it had been told to finish, and `status` does not say what it
  // did, as when the answer of a replica was not waited for: it may list the
  // snapshot, or come to.
  bool may_hold = false;
  // The snapshot that it got a delta on; empty: a full dump.
  std::string base_snapshot_id;
  // As far as the sink knows, it has a sealed snapshot of a cache in the dump.
  // Without keys, the dump goes beside it in the clear all the same.
  bool sealed_before = false;
};

struct BackupReport {
  // kOk: all of it is everywhere. kPartial: a sink failed, an optional source
  // failed, or single files or blobs were left out. kFailed: nothing is listed
  // anywhere, but where a sink may hold it (SinkResult).
  Outcome outcome = Outcome::kFailed;
  absl::Status status;  // Why, when kFailed.
  std::string snapshot_id;
  int64_t created_unix_ms = 0;  // When the sources had been opened.
  std::vector<SourceResult> sources;
  std::vector<SinkResult> sinks;
  // Of all streams: one for the sinks that build on the same snapshot.
  int64_t chunks = 0;
  int64_t bytes_sent = 0;
  int64_t elapsed_nanos = 0;
  // The most chunks, and bytes of chunks, that were alive at once.
  int64_t chunks_in_flight_peak = 0;
  int64_t bytes_in_flight_peak = 0;
};

// Single-owner. Destroying it waits for sinks that were dropped while stuck.
//
// Memory: sources state their own. Chunks: at most `queue_chunks_max` + 2 at
// once, two or three more for each further base that sinks build on, and one
// for each dropped sink that is stuck in a call, each at most
// format::kChunkBytesMax and typically 1 MiB; the same for one sink or ten on
// the same base, and for a dump of any size.
class BackupOrchestrator {
 public:
  struct Options {
    int32_t queue_chunks_max = 8;
    // A sink is dropped, kDeadlineExceeded, when it has work and makes no
    // progress for `stall`; or when others, with nothing to do, had to wait for
    // it for `lag` in all, or for a sixtieth of that since half was used up of
    // what a pin may take. Where they build on other bases, and so may need
    // less, each chunk of it makes 250 ms of that good.
    int64_t sink_stall_ms_max = 60'000;
    int64_t sink_lag_ms_max = 600'000;
    int32_t zstd_level = 1;
    cache::Clock* clock = nullptr;  // Null: SystemClock().
    // Lets so many nanoseconds of the clock pass. Empty: sleeps.
    std::function<void(int64_t)> wait = nullptr;
    uint64_t random_seed = 0;  // 0: from the system. Names snapshots.
    // Seals each dump with the first of them (docs/formats/dump.md, "sealed
    // dumps"): sinks get ciphertext, and need no key. Null: in the clear.
    std::shared_ptr<const crypto::KeyRing> keys = nullptr;
    // Makes that many random bytes, for salts. Empty: crypto::RandomBytes().
    // The same bytes twice would tell what both dumps hold.
    std::function<absl::StatusOr<std::string>(size_t)> random_bytes = nullptr;
  };

  explicit BackupOrchestrator(Options options);
  ~BackupOrchestrator();
  BackupOrchestrator(const BackupOrchestrator&) = delete;
  BackupOrchestrator& operator=(const BackupOrchestrator&) = delete;

  // Sources are dumped in the order they were added. Names must differ.
  void AddSource(std::unique_ptr<SnapshotSource> source);
  void AddSink(std::unique_ptr<SnapshotSink> sink);

  // One backup; may be called again. A sink that is stuck in a call when Run()
  // returns is not used again.
  // A sink that fails or stalls is dropped and the others go on. When a
  // required source, all sources or all sinks fail, or on cancellation, every
  // sink is aborted: nothing is listed anywhere. Cancellation is noticed until
  // the sinks are told to finish; behind that a sink may have one of its own.
  BackupReport Run(const BackupRequest& request);

 private:
  absl::Status Transfer(const BackupRequest& request, BackupReport* report);
  // What a header says besides its sources. Errors: no random bytes.
  absl::StatusOr<format::DumpHeader> MakeHeader(const BackupReport& report,
                                                uint64_t stream_id);
  absl::Status SendStreams(const BackupRequest& request, uint64_t stream_id,
                           backup_internal::GivingWay* giving_way,
                           backup_internal::FanOut* fan_out,
                           std::vector<std::unique_ptr<SourceView>>* views,
                           BackupReport* report);

  const Options options_;
  cache::Clock* const clock_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<SnapshotSource>> sources_;
  std::vector<std::shared_ptr<SnapshotSink>> sinks_;
  std::vector<std::thread> stuck_;  // Threads of sinks dropped while in a call.
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_ORCHESTRATOR_H_
