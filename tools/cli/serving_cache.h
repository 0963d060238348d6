// Opens an L2 to read from it, also one that is being restored lazily.
#ifndef LARDER_TOOLS_CLI_SERVING_CACHE_H_
#define LARDER_TOOLS_CLI_SERVING_CACHE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "cache/blob_cache.h"
#include "tools/cli/cache_flags.h"

namespace larder::cli {

// As OpenCache() to look. While the L2 is hydrating, what it does not hold yet
// comes from the archives that it is restored from.
// Errors: also that none of these can be read.
absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenServing(
    const CacheFlags& flags);

// The same to invalidate: where no archive can be read, without them. What is
// invalidated stays so when they are back.
absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenToInvalidate(
    const CacheFlags& flags);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_SERVING_CACHE_H_
