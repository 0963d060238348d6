#include "tools/cli/serving_cache.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/lazy_restore.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/restore_flags.h"

namespace larder::cli {

absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenServing(
    const CacheFlags& flags) {
  LARDER_ASSIGN_OR_RETURN(const std::optional<backup::HydratingL2> hydrating,
                          backup::LazyRestore::FindHydrating(
                              cache::l2::PosixFileSystem(), flags.l2));
  if (!hydrating.has_value()) return OpenCache(flags, OpenMode::kLook);
  backup::LazyRestoreOptions options;
  options.cache = ToolOptions(flags, OpenMode::kLook);
  options.holder = HolderOf(flags.l2);
  LARDER_ASSIGN_OR_RETURN(options.keys, ReadKeys(flags.key_file));
  FitBudget(hydrating->records, hydrating->stored_bytes, flags, &options.cache);
  auto lazy = backup::LazyRestore::Open(std::move(options));
  if (lazy.ok()) return *std::move(lazy);
  const absl::Status error(
      lazy.status().code(),
      absl::StrCat(flags.l2, ": restored lazily from snapshot ",
                   hydrating->snapshot_id, ": ", lazy.status().message()));
  // One that is held by another process goes on there.
  return absl::IsUnavailable(error) ? error : WithWaysOn(flags.l2, error);
}

absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenToInvalidate(
    const CacheFlags& flags) {
  auto serving = OpenServing(flags);
  return serving.ok() ? std::move(serving) : OpenCache(flags, OpenMode::kLook);
}

}  // namespace larder::cli
