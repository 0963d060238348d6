#include "tools/cli/cache_flags.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cache/stats.h"
#include "tools/cli/terminal.h"

namespace larder::cli {
namespace {

constexpr int64_t kL1Bytes = int64_t{16} << 20;
constexpr int64_t kL2BytesMaxDefault = int64_t{4} << 30;
constexpr size_t kNamespacesNamed = 10;

// Bytes of the files directly in `path`; 0 when there are none.
int64_t BytesIn(const std::string& path) {
  int64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    std::error_code not_a_file;
    const auto size = entry.file_size(not_a_file);
    if (!not_a_file) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

}  // namespace

cache::BlobCacheOptions ToolOptions(const CacheFlags& flags, OpenMode mode) {
  cache::BlobCacheOptions options;
  options.l2_path = flags.l2;
  options.l2_must_exist = mode == OpenMode::kLook;
  options.l1_bytes_max = kL1Bytes;
  options.l2_bytes_max = flags.l2_bytes_max != 0
                             ? flags.l2_bytes_max
                             : std::max(kL2BytesMaxDefault, BytesIn(flags.l2));
  options.durability = flags.durability;
  options.background_commits = mode == OpenMode::kStore;
  return options;
}

absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenCache(
    const CacheFlags& flags, OpenMode mode) {
  auto cache = cache::BlobCache::Open(ToolOptions(flags, mode));
  if (absl::IsNotFound(cache.status())) {
    return absl::NotFoundError(
        absl::StrCat(cache.status().message(),
                     " ('larder import' or 'larder put' makes one)"));
  }
  return cache;
}

absl::Status CheckNamespaceExists(const cache::BlobCache& cache,
                                  absl::string_view ns) {
  std::vector<std::string> names;
  for (const cache::NamespaceStats& stats : cache.NamespacesStats()) {
    if (stats.name == ns) return absl::OkStatus();
    if (names.size() < kNamespacesNamed) names.push_back(Printable(stats.name));
  }
  return absl::NotFoundError(
      absl::StrCat("no namespace '", Printable(ns), "'; there is ",
                   names.empty() ? "none yet" : absl::StrJoin(names, ", ")));
}

}  // namespace larder::cli
