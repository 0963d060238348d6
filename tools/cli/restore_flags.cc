#include "tools/cli/restore_flags.h"

#include <algorithm>

#include "absl/numeric/int128.h"

namespace larder::cli {

void FitBudget(int64_t records, int64_t stored_bytes, const CacheFlags& flags,
               cache::BlobCacheOptions* options) {
  if (flags.l2_bytes_max != 0) return;
  constexpr int64_t kBytesPerRecord = 8192;
  const absl::int128 need = absl::int128(stored_bytes) * 5 / 4 +
                            absl::int128(records) * kBytesPerRecord +
                            cache::kL2BytesMin;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  options->l2_bytes_max = std::max(
      options->l2_bytes_max, need > kMost ? kMost : static_cast<int64_t>(need));
}

}  // namespace larder::cli
