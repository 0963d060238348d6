// Larder's L2 as a store of the benchmarks.
#ifndef LARDER_BENCH_STORES_LARDER_H_
#define LARDER_BENCH_STORES_LARDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bench/store.h"
#include "cache/blob_cache.h"
#include "cache/options.h"

namespace larder::bench {

inline constexpr char kNamespace[] = "bench";

// Options that keep L1 out of the way; everything else is Larder's default.
cache::BlobCacheOptions L2Options(const std::string& dir, int64_t bytes_max);

// Puts that never enter L1, by themselves or by promotion.
cache::PutOptions L2Put();

// Thread-safe. Gets are zero-copy; every checksum is verified.
class LarderStore : public Store {
 public:
  static absl::StatusOr<std::unique_ptr<LarderStore>> Open(
      const cache::BlobCacheOptions& options);

  std::string name() const override { return "larder"; }
  absl::Status Put(absl::string_view key, absl::string_view bytes) override;
  bool Get(absl::string_view key, Use use) override;
  // Errors: also when records were evicted; then gets would miss.
  absl::Status Settle() override;

  cache::BlobCache* cache() { return cache_.get(); }

 private:
  explicit LarderStore(std::unique_ptr<cache::BlobCache> cache)
      : cache_(std::move(cache)) {}

  const std::unique_ptr<cache::BlobCache> cache_;
};

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_LARDER_H_
