// Follows a dump chunk by chunk, and says whether it is whole.
#ifndef LARDER_BACKUP_DUMP_CHECK_H_
#define LARDER_BACKUP_DUMP_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// Single-owner. Memory: the dump's header and trailer.
class DumpCheck {
 public:
  // `snapshot_id` and `stream_id` are what the dump's header must say.
  DumpCheck(std::string snapshot_id, uint64_t stream_id)
      : snapshot_id_(std::move(snapshot_id)), stream_id_(stream_id) {}

  // Whether a chunk with this header may come next.
  // Errors: kInvalidArgument: not in order; of another dump; a first chunk
  // that is no header, or a header that is not first; a chunk behind the
  // trailer; one that is not sealed as the dump is.
  absl::Status CheckNext(const format::ChunkHeader& header) const;

  // `bytes`: header and payload. Requires: the payload was checked.
  // Errors: as CheckNext(); kDataLoss, kFailedPrecondition: a header that does
  // not keep the format, a trailer that does not agree with what came.
  absl::Status Add(const format::ChunkHeader& header, absl::string_view bytes);

  uint64_t next_sequence() const { return next_sequence_; }
  // With its sources, once the first chunk has come; null before.
  const format::DumpHeader* header() const {
    return next_sequence_ > 0 ? &manifest_.header() : nullptr;
  }
  uint64_t bytes() const { return bytes_; }
  // The trailer has come: nothing may follow.
  bool complete() const { return complete_; }
  // Over the headers of all chunks but the trailer's.
  absl::uint128 stream_digest() const { return digest_.Digest(); }
  // Of a complete dump, what a sink's Finish() takes. Requires: complete().
  const format::Manifest& manifest() const;

 private:
  absl::Status CheckHeader(const std::string& payload);
  absl::Status CheckTrailer(const std::string& payload);

  const std::string snapshot_id_;
  const uint64_t stream_id_;
  uint64_t next_sequence_ = 0;
  uint64_t bytes_ = 0;
  bool complete_ = false;
  format::StreamingChecksum128 digest_;
  format::Manifest manifest_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_DUMP_CHECK_H_
