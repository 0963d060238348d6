// L2's records as messages, and back.
#ifndef LARDER_BACKUP_FORMAT_RECORD_CODEC_H_
#define LARDER_BACKUP_FORMAT_RECORD_CODEC_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/format/dump.pb.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::backup::format {

// Requires: record.status.ok().
void ToMessage(const cache::StoredRecord& record, Record* message);

// Checks every field against its limit, and frames against sums.
// Errors: kDataLoss naming blob and field.
absl::StatusOr<cache::StoredRecord> FromMessage(const Record& message);

void ToMessage(const cache::NamespaceState& state, Namespace* message);
absl::StatusOr<cache::NamespaceState> FromMessage(const Namespace& message);

void ToMessage(const cache::Tombstone& tombstone, Tombstone* message);
absl::StatusOr<cache::Tombstone> FromMessage(const Tombstone& message);

// Everything of `info` but namespaces and tombstones, which it counts.
CacheInfo ToMessage(const cache::SnapshotInfo& info);
// Requires: CheckDumpHeader() was OK.
cache::SnapshotInfo FromMessage(const CacheInfo& message);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_RECORD_CODEC_H_
