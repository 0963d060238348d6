#include "replication/applied_note.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/apply_dump.h"
#include "backup/format/archive_file.h"
#include "backup/format/message.h"
#include "cache/replica_l2.h"
#include "cache/status_macros.h"
#include "replication/applied.pb.h"

namespace larder::replication {

std::string EncodeAppliedNote(const PublishedDump& applied) {
  AppliedDump message;
  message.set_header(backup::format::SerializeMessage(applied.header));
  message.set_stream_digest(applied.stream_digest);
  message.set_stored_bytes(applied.stored_bytes);
  message.set_packs(applied.packs);
  return backup::format::SerializeMessage(message);
}

absl::StatusOr<PublishedDump> DecodeAppliedNote(absl::string_view note) {
  if (note.size() > cache::kReplicaNoteBytesMax) {
    return absl::DataLossError(absl::StrCat("replica's note: ", note.size(),
                                            " bytes vs at most ",
                                            cache::kReplicaNoteBytesMax));
  }
  AppliedDump message;
  PublishedDump applied;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(note, &message));
  LARDER_RETURN_IF_ERROR(
      backup::format::ParseMessage(message.header(), &applied.header));
  // Its snapshot's id becomes part of a path.
  LARDER_RETURN_IF_ERROR(backup::format::CheckDumpHeader(applied.header));
  if (applied.header.sources_size() != 1) {
    return absl::DataLossError(absl::StrCat(
        "replica's note: sources: ", applied.header.sources_size(), " vs 1"));
  }
  LARDER_RETURN_IF_ERROR(backup::LiveSource(applied.header).status());
  applied.stream_digest = message.stream_digest();
  applied.stored_bytes = message.stored_bytes();
  applied.packs = message.packs();
  return applied;
}

}  // namespace larder::replication
