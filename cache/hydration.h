// Says that an L2 does not hold yet all of what it is restored from.
#ifndef LARDER_CACHE_HYDRATION_H_
#define LARDER_CACHE_HYDRATION_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/file.h"

namespace larder::cache {

// While the file L2/hydrating is there, the L2 is *hydrating*: somebody still
// adds records of an old snapshot, under their old HLCs (BlobCache::Adopt). All
// of them are up to the *floor*, and all that is put is above it. So the L2
// remembers of every key whatever happened to it since: what is put keeps the
// old value out while it is there, and once it is deleted, expires or is
// evicted, a *marker* takes its place: an empty blob that is dead already.
// Tombstones are not retired meanwhile, and no snapshot is taken.
//
// Bytes: docs/formats/l2.md, "hydrating". Why: docs/adr/0011-lazy-restore.md.
inline constexpr absl::string_view kHydratingName = "hydrating";

// Begins it, for the next who opens the L2 in `l2_path`; durable on return.
// Requires: floor.value > 0.
absl::Status BeginHydration(l2::FileSystem* file_system,
                            const std::string& l2_path, Hlc floor);

// The floor; nothing when the L2 is not hydrating.
// Errors: kDataLoss when the file is damaged.
absl::StatusOr<std::optional<Hlc>> ReadHydration(l2::FileSystem* file_system,
                                                 const std::string& l2_path);

// Ends it; durable on return. What nobody added until then stays a miss. Fine
// when it is not hydrating.
absl::Status EndHydration(l2::FileSystem* file_system,
                          const std::string& l2_path);

}  // namespace larder::cache

#endif  // LARDER_CACHE_HYDRATION_H_
