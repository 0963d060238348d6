// What a live replica's L2 says of the dump that was applied to it last
// (docs/formats/l2.md).
#ifndef LARDER_REPLICATION_APPLIED_NOTE_H_
#define LARDER_REPLICATION_APPLIED_NOTE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replication/dump_receiver.h"

namespace larder::replication {

// `applied.header` has one source.
std::string EncodeAppliedNote(const PublishedDump& applied);

// Errors: kDataLoss: not what EncodeAppliedNote() wrote; kFailedPrecondition: a
// newer version's.
absl::StatusOr<PublishedDump> DecodeAppliedNote(absl::string_view note);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_APPLIED_NOTE_H_
