// Takes the chunks of one source back out of a dump.
#ifndef LARDER_BACKUP_INTERNAL_SOURCE_READER_H_
#define LARDER_BACKUP_INTERNAL_SOURCE_READER_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/chunk.h"

namespace larder::backup_internal {

// Single-owner. Damage is its own business: it reports what was lost and goes
// on. An error is final, for the whole dump: a newer format, or the target.
class SourceReader {
 public:
  virtual ~SourceReader() = default;

  // `payload` is verified and decoded. Types it does not know are ignored.
  virtual absl::Status OnChunk(const backup::format::ChunkHeader& header,
                               absl::string_view payload) = 0;
  // Some chunks, perhaps of this source, cannot be read.
  virtual void OnGap(const absl::Status& reason) = 0;
  // The dump has ended: books what never came.
  virtual absl::Status Finish() = 0;
};

// Told everything wrong that is not a loss by name.
using ProblemFn = std::function<void(const absl::Status&)>;

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_SOURCE_READER_H_
