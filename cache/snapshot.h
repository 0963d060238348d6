// A pinned, consistent, read-only view of L2 at one epoch: what backup reads.
#ifndef LARDER_CACHE_SNAPSHOT_H_
#define LARDER_CACHE_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/blob.h"
#include "cache/hlc.h"
#include "cache/tombstone.h"

namespace larder::cache {

// One namespace as a snapshot holds it.
struct NamespaceState {
  std::string name;
  uint64_t generation = 0;
  Hlc flushed_at;  // Records with an HLC up to this one are invalid.
  // Tombstones up to this one are no longer among those of the snapshot. It
  // holds nothing that they cover; but in an older one any record up to this
  // HLC may be.
  Hlc forgotten_through = {};
};

// What a snapshot is of. A plain value.
struct SnapshotInfo {
  std::string lineage;  // UUID text of the L2's history.
  // What it was restored from, and that from before it; the nearest first.
  std::vector<std::string> ancestors;
  uint64_t epoch = 0;
  Hlc hlc;  // No mutation in the snapshot is newer.
  // Every mutation that is not in the snapshot is newer than this. Some that
  // are in it may be, too: they were under way when its epoch was closed.
  Hlc complete_through;
  absl::uint128 content_digest = 0;
  int64_t records = 0;
  int64_t raw_bytes = 0;
  int64_t stored_bytes = 0;
  std::vector<NamespaceState> namespaces;
  // But for namespace flushes: live ones, and those that cover nothing in here
  // any more, for older snapshots.
  std::vector<Tombstone> tombstones;
  int64_t pin_nanos = 0;  // What the pin cost beyond the commit.
};

// One independently decodable piece of a blob, as L2 stores it.
struct Frame {
  uint32_t stored_bytes = 0;
  uint32_t raw_bytes = 0;
  bool zstd = false;      // Else stored as it is.
  uint64_t checksum = 0;  // XXH3-64 of the stored bytes.
};

// A record with everything that another L2 needs to hold the same.
struct StoredRecord {
  std::string ns;
  std::string key;
  BlobAttributes attributes;
  int64_t last_access_unix_ms = 0;  // With an idle TTL: as of now, not the pin.
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;  // Sum over `frames`.
  // Of the chain's header block, which holds the frames' checksums, or of its
  // one frame: what stands for the payload in the content digest.
  uint64_t payload_checksum = 0;
  std::vector<Frame> frames;
  // Not OK (kDataLoss) when the header block could not be read: then
  // `frames` and the string lists of `attributes` are empty.
  absl::Status status;
  // Where the frames are; for Snapshot::ReadFrame only.
  std::shared_ptr<const void> location;
};

// What a delta builds on: an older epoch of the same lineage, as the
// SnapshotInfo of then had it.
struct DeltaBase {
  uint64_t epoch = 0;
  Hlc complete_through;  // 0: unknown; then nothing counts as unchanged.
};

// Everything about one key range of a namespace, as a delta tells it: who holds
// the base replaces what it has there by this.
struct DeltaRange {
  std::string ns;
  std::string from;   // Inclusive; empty: from the first key.
  std::string until;  // Exclusive; empty: to the last.
  // Records that are as they were in the base, by RecordFingerprint(), in the
  // order of their keys. All others that the base has in the range are gone.
  std::vector<uint64_t> kept;
  // Written since, or with an idle TTL that reads may have put off since; in
  // order of their keys.
  std::vector<StoredRecord> changed;
};

// Reads frame `i` of a record, as stored.
using FrameSource = absl::FunctionRef<absl::StatusOr<std::string>(size_t i)>;

// Thread-safe. Destroying it releases the pin. Must not outlive the cache.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  virtual const SnapshotInfo& info() const = 0;

  // OK while the pin holds; kAborted once it was taken away (age or budget of
  // deferred bytes): what was read since must be thrown away.
  virtual absl::Status status() const = 0;
  // The share of what the pin may take, of age or bytes, that is used up: it is
  // taken away beyond 1, or before others are short of room. Never shrinks.
  virtual double used() const = 0;

  // A place between records. Default: before the first.
  struct Position {
    std::string after;  // Opaque.
    bool at_end = false;
  };

  // Appends up to `records_max` records behind `*position`, in order of
  // (namespace, key), and moves it. Reads no frames.
  // Ranges lost to damaged pages are appended to `*damage`, one line each.
  // Errors: kAborted; what the file layer says.
  virtual absl::Status Read(int64_t records_max, Position* position,
                            std::vector<StoredRecord>* records,
                            std::vector<std::string>* damage) const = 0;

  // How much one ReadDelta() returns at most. A changed record counts for
  // `changed` and, with its key, tags, dependencies and metadata, for `bytes`.
  struct DeltaLimits {
    int64_t changed = 1024;
    int64_t kept = 16'384;
    int64_t bytes = 256 << 10;
  };
  // Appends the ranges behind `*position` in which anything may have changed
  // since `base`, in order of (namespace, key), and moves it. Ranges do not
  // overlap; one that is large comes in pieces. Costs as much as changed:
  // subtrees that are as old as the base are not read, and no frames.
  // What damaged pages hide is a range in which nothing is kept, and a line
  // in `*damage`.
  // Errors: kFailedPrecondition when the base is newer than the snapshot;
  // kAborted; what the file layer says.
  virtual absl::Status ReadDelta(const DeltaBase& base,
                                 const DeltaLimits& limits, Position* position,
                                 std::vector<DeltaRange>* ranges,
                                 std::vector<std::string>* damage) const = 0;

  // Appends frame `i` of `record`, as stored, to `*out`, and verifies it.
  // Errors: kDataLoss naming blob, frame, found and expected; kAborted. Then
  // `*out` is as it was.
  virtual absl::Status ReadFrame(const StoredRecord& record, size_t i,
                                 std::string* out) const = 0;
};

// Fills a new, empty L2 with records of a snapshot, as they were: same HLC,
// same frames, hence the same content digest. Single-owner.
class L2Loader {
 public:
  virtual ~L2Loader() = default;

  // Starts a record: allocates and writes its header block. `record.status`,
  // `.location` are ignored; its frames must be sound in size and count.
  // Errors: kInvalidArgument (what the record says is impossible or over a
  // limit), kResourceExhausted (budget, disk).
  virtual absl::Status Begin(const StoredRecord& record) = 0;
  // Appends the next frame. Errors: kDataLoss when size or checksum is not
  // what the record said.
  virtual absl::Status AppendFrame(absl::string_view stored) = 0;
  // Stages the record begun; every frame must have come.
  virtual absl::Status Finish() = 0;
  // Frees what the record begun took; fine when there is none.
  virtual void Abandon() = 0;

  // Starts a delta on top of all that was loaded. Between two of these calls
  // no key may be in two ranges, and records come behind their range.
  virtual absl::Status StartDelta() = 0;
  // Removes what the loader holds in the key range [from, until) of `ns`
  // (`until` empty: to its end) but for records whose RecordFingerprint() is
  // among `kept`; tells each to `removed`.
  // Returns: how many of `kept` it does not hold.
  virtual absl::StatusOr<int64_t> KeepOnly(
      absl::string_view ns, absl::string_view from, absl::string_view until,
      absl::Span<const uint64_t> kept,
      absl::FunctionRef<void(absl::string_view key)> removed) = 0;

  // Commits, syncs and closes. Returns what the new L2 now holds, under its
  // new lineage. The loader is dead afterwards.
  virtual absl::StatusOr<SnapshotInfo> Close() = 0;
};

struct BlobCacheOptions;

// Creates an L2 at options.l2_path (absent, or an empty directory) with a new
// lineage that descends from source.lineage, the namespaces and tombstones of
// `source`, and no records. Close() marks those tombstones spent that cover no
// record which was loaded. Should more of a namespace cover one than may be
// live, then all goes that is as old as those too many.
// Errors: kAlreadyExists when the directory is not empty; kInvalidArgument
// when `source` is impossible.
absl::StatusOr<std::unique_ptr<L2Loader>> CreateL2Loader(
    const BlobCacheOptions& options, const SnapshotInfo& source);

}  // namespace larder::cache

#endif  // LARDER_CACHE_SNAPSHOT_H_
