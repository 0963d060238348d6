// What is backed up: a source opens a consistent view of itself and turns it
// into the chunks of a dump (docs/formats/dump.md).
#ifndef LARDER_BACKUP_SOURCE_H_
#define LARDER_BACKUP_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// What a backup asks of each source.
struct SourceRequest {
  // Take the blobs of caches too, not only generations and tombstones: a cache
  // is derived state.
  bool include_blob_cache = false;
};

// What one dump is to have of a source: of several that a view fills at once,
// each for the sinks that hold the same of it. Single-owner: the thread that
// runs Produce().
class SourceDump {
 public:
  virtual ~SourceDump() = default;

  // What the sinks hold of the source, as the header of that dump said; null:
  // nothing.
  virtual const format::SourceInfo* base() const = 0;
  // Where the view counts what it emits.
  virtual format::SourceTotals* totals() = 0;

  // False once none of its sinks is left, for good: what only it needs need
  // not be read.
  virtual bool wanted() const = 0;

  // Sends one chunk of this source, compressed where that saves something.
  // Returns: the chunk's sequence number.
  // Blocks while the sinks are behind. Does nothing when it is not wanted.
  // Errors: kCancelled; kUnavailable when no sink of any dump is left. Both are
  // final.
  virtual absl::StatusOr<uint64_t> Emit(format::ChunkType type,
                                        absl::string_view payload) = 0;

  // The same for what is not to be compressed, behind
  // format::kChunkHeaderBytes of room: copies nothing.
  virtual absl::StatusOr<uint64_t> EmitInPlace(
      format::ChunkType type, std::string room_and_payload) = 0;

  // The sequence number that the next chunk will get.
  virtual uint64_t next_sequence() const = 0;
};

// Where a view puts what it reads. Single-owner, as SourceDump.
class SourceOutput {
 public:
  virtual ~SourceOutput() = default;

  // At least one.
  virtual absl::Span<SourceDump* const> dumps() = 0;

  // SourceDump::Emit() for all dumps, compressed once.
  virtual absl::Status EmitToAll(format::ChunkType type,
                                 absl::string_view payload) = 0;

  // Says that `bytes` of the view's estimate are behind it.
  virtual void Advance(int64_t bytes) = 0;

  // Runs `step` until it returns false or fails, in this thread or in others,
  // one at a time: for long work that can be cut into steps of a millisecond,
  // so that it gives way and can hurry. A step may run in a thread of low
  // priority: it must hold no lock that requests wait for, and start no thread
  // that outlives it.
  virtual absl::Status Repeat(
      absl::FunctionRef<absl::StatusOr<bool>()> step) = 0;
};

// One consistent view. Single-owner.
class SourceView {
 public:
  virtual ~SourceView() = default;

  // What a dump's header says of the source. `base`: what a sink holds of it,
  // as the header of that dump said; null: nothing. A source that can tell what
  // changed since then says that it will (CacheInfo.base_epoch).
  virtual format::SourceInfo Describe(const format::SourceInfo* base) const = 0;
  // Bytes that Produce() will work through without a base; a guess.
  virtual int64_t bytes_estimate() const = 0;
  // The share that is used up of what it may take before what it reads is taken
  // away. Never shrinks. Thread-safe.
  virtual double used() const { return 0; }

  // Emits into each dump everything, or what Describe(base) said, and counts it
  // in its totals. Reads what several dumps need once. To be called once.
  // Single blobs or files that could not be read whole go to totals->problems
  // and do not fail it. Memory: a few chunks for each dump, whatever the size
  // of the view (see each source).
  // Errors: whatever makes the view as a whole worthless.
  virtual absl::Status Produce(SourceOutput* out) = 0;
};

// Single-owner: the orchestrator, once registered.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;

  // Unique within a backup; `1..64` of [a-z0-9_-].
  virtual const std::string& name() const = 0;
  // Whether the backup fails when this source does.
  virtual bool required() const = 0;
  virtual absl::StatusOr<std::unique_ptr<SourceView>> Open(
      const SourceRequest& request) = 0;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_SOURCE_H_
