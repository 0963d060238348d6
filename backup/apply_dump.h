// Reads a dump of a blob cache into an L2 that takes it in one step, or not at
// all: what a live replica does with a dump.
#ifndef LARDER_BACKUP_APPLY_DUMP_H_
#define LARDER_BACKUP_APPLY_DUMP_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "cache/snapshot.h"

namespace larder::backup {

// The one source that a live replica takes: a cache, with blobs.
// Errors: kFailedPrecondition: there is none, or there are several.
absl::StatusOr<uint16_t> LiveSource(const format::DumpHeader& header);

// Whether the dump has all blobs of that source's snapshot.
// Errors: kDataLoss: some could not be read when it was made, and the next dump
// will not have them either: the first ones are named, with what helps.
absl::Status CheckNothingMissing(const format::Manifest& manifest);

// Opens what takes the records of a snapshot: for a full dump a new L2, for a
// delta one that holds its base.
using OpenLoaderFn =
    absl::FunctionRef<absl::StatusOr<std::unique_ptr<cache::L2Loader>>(
        const cache::SnapshotInfo& target)>;

// Strict, where Restore() makes the best of it: whatever is missing or damaged
// ends it, and the loader is not closed. `packs`: Archive::OfPacks().
// Requires: CheckNothingMissing().
//
// Thread-compatible. Memory: that of Restore().
// Returns: what the L2 holds, as Close() says.
// Errors: kDataLoss: damage, a broken seal, or this was never the delta's base;
// kFailedPrecondition: its key is not there; those of the loader.
absl::StatusOr<cache::SnapshotInfo> ApplyDump(const Archive& packs,
                                              const format::Manifest& manifest,
                                              OpenLoaderFn open_loader);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_APPLY_DUMP_H_
