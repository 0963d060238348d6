// Every message that stands in a dump or an archive by itself. Input: u8 which,
// the message.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "cache/check.h"
#include "tests/fuzz/dump_message.h"
#include "tests/fuzz/input.h"

namespace larder::backup::format {
namespace {

template <typename Message>
void Check(absl::string_view bytes) {
  Message message;
  tests::ParsesAndComesBack(bytes, &message);
}

void CheckHeader(absl::string_view bytes) {
  DumpHeader header;
  if (!tests::ParsesAndComesBack(bytes, &header)) return;
  const absl::Status status = CheckDumpHeader(header);
  if (!status.ok()) return tests::CheckRefusal(status);
  LARDER_CHECK(IsSnapshotId(header.snapshot_id()));
  LARDER_CHECK(header.sources_size() <= kSourcesMax);
  for (const SourceInfo& source : header.sources()) {
    LARDER_CHECK(IsSourceName(source.name()));
  }
}

void CheckOne(uint8_t which, absl::string_view bytes) {
  switch (which % 10) {
    case 0:
      return CheckHeader(bytes);
    case 1:
      return Check<Trailer>(bytes);
    case 2:
      return Check<Invalidations>(bytes);
    case 3:
      return Check<Records>(bytes);
    case 4:
      return Check<FramesIndex>(bytes);
    case 5:
      return Check<Names>(bytes);
    case 6:
      return Check<Files>(bytes);
    case 7:
      return Check<Manifest>(bytes);
    case 8:
      return Check<Lease>(bytes);
    default:
      return Check<Verification>(bytes);
  }
}

}  // namespace
}  // namespace larder::backup::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  larder::backup::format::CheckOne(data[0],
                                   larder::tests::Input(data + 1, size - 1));
  return 0;
}
