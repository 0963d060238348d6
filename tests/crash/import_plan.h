// What the importer that gets killed puts, for it and for who checks it.
#ifndef LARDER_TESTS_CRASH_IMPORT_PLAN_H_
#define LARDER_TESTS_CRASH_IMPORT_PLAN_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "tests/support/content.h"

namespace larder::tests {

inline constexpr char kImportNamespace[] = "import";
inline constexpr uint64_t kImportKeys = 700;

inline cache::BlobCacheOptions ImportOptions(const std::string& directory) {
  cache::BlobCacheOptions o;
  o.l2_path = directory;
  o.l2_bytes_max = int64_t{256} << 20;
  o.l1_bytes_max = 1 << 20;
  o.commit_interval_ms = 3;
  return o;
}

// Blob `n`. Later blobs of a key replace earlier ones.
inline std::string ImportKey(uint64_t n) {
  return absl::StrCat("file/", n % kImportKeys);
}
inline std::string ImportBytes(uint64_t n) { return ContentOf(n + 1, 50'000); }
inline cache::PutOptions ImportPutOptions(uint64_t n) {
  cache::PutOptions o;
  o.version = n + 1;
  return o;
}

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_IMPORT_PLAN_H_
