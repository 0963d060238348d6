#include "tools/demo/stage.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::demo {

std::string RootNamespace(int32_t root) { return absl::StrCat("root", root); }

absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenForDemo(
    const std::string& path, bool create) {
  cache::BlobCacheOptions options;
  options.l2_path = path;
  options.l2_must_exist = !create;
  // Smaller than the files are, so that both tiers have work.
  options.l1_bytes_max = int64_t{32} << 20;
  options.commit_interval_ms = 250;
  return cache::BlobCache::Open(std::move(options));
}

absl::Status PutFile(Stage* stage, absl::string_view ns, absl::string_view key,
                     absl::string_view bytes, const Model::Put& put) {
  cache::PutOptions options;
  options.ttl_ms = put.ttl_ms;
  if (!put.tag.empty()) options.tags.push_back(put.tag);
  // Tells whoever reads the blob which file it must equal.
  options.version = static_cast<uint64_t>(put.file) + 1;
  LARDER_ASSIGN_OR_RETURN(const cache::Mutation mutation,
                          stage->cache->Put(ns, key, bytes, options));
  stage->model.OnPut(ns, key, put, mutation);
  return absl::OkStatus();
}

}  // namespace larder::demo
