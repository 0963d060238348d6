#include "tools/cli/hydrating_l2.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "backup/lazy_restore.h"
#include "cache/l2/file.h"

namespace larder::cli {

std::string HolderOf(const std::string& l2) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(l2, error);
  std::array<char, 256> host = {};
  const bool named = gethostname(host.data(), host.size() - 1) == 0;
  return absl::StrCat(error ? l2 : absolute.string(), named ? " on " : "",
                      named ? host.data() : "");
}

absl::Status CheckWhole(const std::string& l2) {
  const auto hydrating =
      backup::LazyRestore::FindHydrating(cache::l2::PosixFileSystem(), l2);
  if (hydrating.ok() && !hydrating->has_value()) return absl::OkStatus();
  // What it is restored from may be unreadable.
  return WithWaysOn(
      l2, absl::UnavailableError(absl::StrCat(
              l2, ": being restored lazily",
              hydrating.ok()
                  ? absl::StrCat(" from snapshot ", (*hydrating)->snapshot_id)
                  : "",
              ": not all blobs are here yet")));
}

absl::Status WithWaysOn(const std::string& l2, const absl::Status& error) {
  const auto hydrating =
      backup::LazyRestore::FindHydrating(cache::l2::PosixFileSystem(), l2);
  if (hydrating.ok() && !hydrating->has_value()) return error;
  return absl::Status(
      error.code(),
      absl::StrCat(error.message(), "; 'larder restore --lazy --l2 ", l2,
                   "' goes on, with --from from another archive; with "
                   "--give-up it ends without the blobs that are not there "
                   "yet"));
}

}  // namespace larder::cli
