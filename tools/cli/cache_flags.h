// The flags that every command on an L2 takes, and opening it accordingly.
#ifndef LARDER_TOOLS_CLI_CACHE_FLAGS_H_
#define LARDER_TOOLS_CLI_CACHE_FLAGS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/options.h"

namespace larder::cli {

struct CacheFlags {
  std::string l2;  // Directory.
  // 0: 4 GiB, or what the directory takes already when that is more, so that
  // a look at a large L2 does not shrink it.
  int64_t l2_bytes_max = 0;
  cache::Durability durability = cache::Durability::kInterval;
  // Keys of sealed dumps that are made of the L2, or that it is made of; empty:
  // none.
  std::string key_file = {};
};

enum class OpenMode {
  kLook,   // Must exist; commits only what the command asks for.
  kStore,  // Created when absent; commits in the background.
};

// The options of a tool: a small L1, since no tool reads a blob twice.
cache::BlobCacheOptions ToolOptions(const CacheFlags& flags, OpenMode mode);

// Errors: as BlobCache::Open, naming the directory.
absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenCache(
    const CacheFlags& flags, OpenMode mode);

// Errors: kNotFound, naming those there are, when `cache` never saw `ns`.
absl::Status CheckNamespaceExists(const cache::BlobCache& cache,
                                  absl::string_view ns);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_CACHE_FLAGS_H_
