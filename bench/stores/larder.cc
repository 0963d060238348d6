#include "bench/stores/larder.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/blob.h"
#include "cache/policy.h"
#include "cache/stats.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

// Small enough to hold nothing of what is measured.
constexpr int64_t kL1Bytes = int64_t{1} << 20;

}  // namespace

cache::BlobCacheOptions L2Options(const std::string& dir, int64_t bytes_max) {
  cache::BlobCacheOptions options;
  options.l2_path = dir;
  options.l2_bytes_max = bytes_max;
  options.l1_bytes_max = kL1Bytes;
  return options;
}

cache::PutOptions L2Put() {
  cache::PutOptions options;
  options.l1_admission = cache::L1Admission::kNever;
  return options;
}

absl::StatusOr<std::unique_ptr<LarderStore>> LarderStore::Open(
    const cache::BlobCacheOptions& options) {
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<cache::BlobCache> cache,
                          cache::BlobCache::Open(options));
  return std::unique_ptr<LarderStore>(new LarderStore(std::move(cache)));
}

absl::Status LarderStore::Put(absl::string_view key, absl::string_view bytes) {
  static const cache::PutOptions* const options =
      new cache::PutOptions(L2Put());
  return cache_->Put(kNamespace, key, bytes, *options).status();
}

absl::Status LarderStore::Settle() {
  LARDER_RETURN_IF_ERROR(cache_->Flush());
  const int64_t evicted = cache_->Stats().l2.evictions;
  if (evicted == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("larder: ", evicted, " records were evicted"));
}

bool LarderStore::Get(absl::string_view key, Use use) {
  const std::optional<cache::Hit> hit = cache_->Get(kNamespace, key);
  if (!hit.has_value()) return false;
  use(hit->bytes());
  return true;
}

}  // namespace larder::bench
