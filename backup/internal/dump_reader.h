// Runs through a dump and hands each source's chunks to its reader.
#ifndef LARDER_BACKUP_INTERNAL_DUMP_READER_H_
#define LARDER_BACKUP_INTERNAL_DUMP_READER_H_

#include <cstdint>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/source_reader.h"

namespace larder::backup_internal {

// By index in the dump's header; borrowed. Chunks of others are not read.
using SourceReaders = absl::flat_hash_map<uint16_t, SourceReader*>;

struct DumpReaderOptions {
  // Read and check also what no reader wants.
  bool read_all = false;
  // Check what is sealed as it is stored; takes no key. Readers get nothing of
  // it, so there should be none.
  bool keep_sealed = false;
  std::function<void(int64_t bytes_done)> progress;  // May be empty.
  const backup::Cancellation* cancellation = nullptr;
};

// Reads all packs of the snapshot: every chunk to its reader, every gap to all
// of them, header and trailer against the manifest, stream digest recomputed.
// Errors: kCancelled, and what PackStream and the readers say. Damage is none.
absl::Status ReadDump(const backup::Archive& archive,
                      const backup::format::Manifest& manifest,
                      const SourceReaders& readers,
                      const DumpReaderOptions& options,
                      const ProblemFn& problem);

// Adds the generations and tombstones of source `index` to `*set`, from either
// of their copies; reads little else.
// Errors: kDataLoss when a part is unreadable in both; what PackStream says.
absl::Status ReadInvalidations(const backup::Archive& archive,
                               const backup::format::Manifest& manifest,
                               uint16_t index, const ProblemFn& problem,
                               const backup::Cancellation* cancellation,
                               InvalidationSet* set);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_DUMP_READER_H_
