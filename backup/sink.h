// Where a dump goes: a directory, later a replica or an object store.
#ifndef LARDER_BACKUP_SINK_H_
#define LARDER_BACKUP_SINK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/sealed_lineages.h"

namespace larder::backup {

// What a sink says once a dump is safe with it.
struct SinkReceipt {
  int64_t bytes_written = 0;
  int64_t packs = 0;
};

// Takes one dump at a time:
//
//   idle --Begin--> taking --Bases, Append*-> taking --Finish--> idle (listed)
//                      |                  |
//                      +----- Abort ------+---> idle (nothing listed)
//
// Single-owner: the orchestrator calls it from one thread for each dump. Each
// sink has its own state and knows nothing of others. After an error of
// Begin, Append or Finish only Abort may follow; it is harmless at any time.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;

  // For people, e.g. "dir:/var/backup".
  virtual const std::string& name() const = 0;

  // Whether its calls may start threads that outlive the dump, as libraries
  // do: these must not inherit a low priority.
  virtual bool starts_lasting_threads() const { return false; }

  // Changes while a call that takes long gets on: a sink whose calls do not
  // return is given up otherwise. Thread-safe, unlike the rest.
  virtual int64_t progress() const { return 0; }

  // `header` names the snapshot and its stream. Its sources are not known yet:
  // the first chunk brings the whole header.
  // Errors: kUnavailable when another backup holds the place.
  virtual absl::Status Begin(const format::DumpHeader& header) = 0;

  // What a delta for this sink may build on, the newest first: of each lineage
  // the header of the newest snapshot with blobs that it holds whole, without
  // sources that failed; of snapshot `id` alone if that is not empty. Nothing:
  // the sink needs a full dump.
  // Errors: kNotFound when `id` is not there, or cannot be built on.
  virtual absl::StatusOr<std::vector<format::DumpHeader>> Bases(
      absl::string_view id) = 0;

  // What it holds sealed, as far as it knows; between Begin() and Append(). So
  // that a dump in the clear behind it can be told.
  virtual SealedLineages Sealed() const { return {}; }

  // Chunks come in order of their sequence, without gaps. The sink may keep
  // the pointer; the memory bound of a backup counts on its letting go soon.
  virtual absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) = 0;

  // Makes the dump durable, then visible, in one step. `manifest` lacks only
  // what the sink knows: its own ordinal and packs.
  virtual absl::StatusOr<SinkReceipt> Finish(
      const format::Manifest& manifest) = 0;

  // Gives the dump up: nothing of it is ever listed.
  virtual void Abort() = 0;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_SINK_H_
