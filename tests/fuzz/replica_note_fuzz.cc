// The note in a live replica's L2. Input: the note.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "cache/check.h"
#include "cache/replica_l2.h"
#include "google/protobuf/stubs/logging.h"
#include "replication/applied_note.h"
#include "tests/fuzz/dump_message.h"
#include "tests/fuzz/input.h"

namespace larder::replication {
namespace {

void CheckNote(absl::string_view note) {
  // It logs each string that is not UTF-8.
  static const auto unused = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(unused);
  const auto applied = DecodeAppliedNote(note);
  if (!applied.ok()) return tests::CheckRefusal(applied.status());
  LARDER_CHECK(note.size() <= cache::kReplicaNoteBytesMax);
  // What LiveL2 relies on.
  LARDER_CHECK(backup::format::CheckDumpHeader(applied->header).ok());
  LARDER_CHECK(applied->header.sources_size() == 1);
  LARDER_CHECK(applied->header.sources(0).cache().blobs_included());
  const std::string encoded = EncodeAppliedNote(*applied);
  const auto again = DecodeAppliedNote(encoded);
  // It may be longer by fields that the input left out.
  if (encoded.size() > cache::kReplicaNoteBytesMax) return;
  LARDER_CHECK(again.ok());
  LARDER_CHECK(EncodeAppliedNote(*again) == encoded);
}

}  // namespace
}  // namespace larder::replication

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::replication::CheckNote(larder::tests::Input(data, size));
  return 0;
}
