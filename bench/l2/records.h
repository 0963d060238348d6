// Many records in one L2: what the works on metadata stand on.
#ifndef LARDER_BENCH_L2_RECORDS_H_
#define LARDER_BENCH_L2_RECORDS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/data.h"
#include "bench/stores/larder.h"
#include "cache/policy.h"

namespace larder::bench {

// Payload of each, unless it says otherwise: in the trees, no chain of blobs.
inline constexpr int64_t kRecordBytes = 100;
inline constexpr int64_t kRecordGroups = 1000;  // Of tags and the like.

// A budget in which `count` of up to 8 KiB stay: none is evicted.
int64_t RoomFor(int64_t count);

// Puts records `from` .. `to` - 1 under KeyOf() into kNamespace, and commits.
absl::Status FillRecords(LarderStore* store, int64_t from, int64_t to,
                         const RandomValues& values,
                         const cache::PutOptions& options);

// The same; record i is in group i modulo kRecordGroups, by its tag TagOf(),
// its dependency of the same name, and its key, which starts with that name.
absl::Status FillGroups(LarderStore* store, int64_t count);
std::string TagOf(int64_t group);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_RECORDS_H_
