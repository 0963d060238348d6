// Looks at packs without reading what is in them.
#ifndef LARDER_BACKUP_INTERNAL_PACK_CHECK_H_
#define LARDER_BACKUP_INTERNAL_PACK_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"

namespace larder::backup_internal {

// Size and head of `pack`. `owner`: the header of its dump; null: another
// one's. Errors: kDataLoss; kFailedPrecondition (of a newer version); what the
// file system says.
absl::Status CheckPackHead(const backup::Archive& archive,
                           const backup::format::Pack& pack,
                           const backup::format::DumpHeader* owner);

// Size and checksum of `pack`, all of which it reads. `progress` is called with
// the bytes of each piece. Errors: as above; kCancelled.
absl::Status CheckPackBytes(const backup::Archive& archive,
                            const backup::format::Pack& pack,
                            const backup::Cancellation* cancellation,
                            const std::function<void(int64_t)>& progress);

// `sample_millionths` of `names`, rounded up, by `seed` alone: whoever asks for
// the same share with the same seed gets the same ones.
// Requires: sample_millionths <= 1,000,000; no name twice.
absl::flat_hash_set<std::string> SamplePacks(std::vector<std::string> names,
                                             uint32_t sample_millionths,
                                             uint64_t seed);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_CHECK_H_
