// What larder restore is asked for.
#ifndef LARDER_TOOLS_CLI_RESTORE_FLAGS_H_
#define LARDER_TOOLS_CLI_RESTORE_FLAGS_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cache/options.h"
#include "tools/cli/cache_flags.h"

namespace larder::cli {

// `cache.l2` or `files_out`, or both, are set.
struct RestoreFlags {
  CacheFlags cache;       // Its directory: absent or empty.
  std::string directory;  // The archive.
  // Empty: the newest complete one of those no younger than
  // `not_after_unix_ms`.
  std::string snapshot;
  int64_t not_after_unix_ms = std::numeric_limits<int64_t>::max();
  std::string files_out;  // Absent or empty.
  bool dry_run = false;
  // Serve first, and hydrate then. Only with an L2, which may be one that is
  // hydrating; then `directory` may be empty.
  bool lazy = false;
  // Instead, end what was begun, without what is not there yet.
  bool give_up = false;
  std::vector<std::string>
      more_directories;  // For what is damaged in the first.
};

// Unless the user set one: a budget that blobs stored in so many bytes fit
// into, with room for the trees and what rounding to pages takes.
void FitBudget(int64_t records, int64_t stored_bytes, const CacheFlags& flags,
               cache::BlobCacheOptions* options);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_RESTORE_FLAGS_H_
