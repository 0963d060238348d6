// The process that kill_import_test kills: imports blobs into a real directory
// until it is killed, and says on stdout which of them are committed.
//
//   import_child DIRECTORY FIRST SEED
//
// Writes "N\n" when every blob below N is committed and synced. Blob N is
// put under key N % kKeys, so that later ones replace earlier ones.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "tests/crash/import_plan.h"

namespace larder::tests {
namespace {

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "import_child: %s\n", status.ToString().c_str());
  std::exit(1);
}

int Import(const std::string& directory, uint64_t first, uint64_t seed) {
  auto opened = cache::BlobCache::Open(ImportOptions(directory));
  Check(opened.status());
  cache::BlobCache& cache = **opened;
  std::mt19937_64 random(seed);
  for (uint64_t n = first;; ++n) {
    Check(cache
              .Put(kImportNamespace, ImportKey(n), ImportBytes(n),
                   ImportPutOptions(n))
              .status());
    if (random() % 23 == 0) Check(cache.SweepDueSlice({}).status());
    if (random() % 40 != 0) continue;
    Check(cache.Flush());
    const std::string line = absl::StrCat(n + 1, "\n");
    if (write(STDOUT_FILENO, line.data(), line.size()) < 0) return 1;
  }
}

}  // namespace
}  // namespace larder::tests

int main(int argc, char** argv) {
  uint64_t first, seed;
  if (argc != 4 || !absl::SimpleAtoi(argv[2], &first) ||
      !absl::SimpleAtoi(argv[3], &seed)) {
    std::fprintf(stderr, "usage: import_child DIRECTORY FIRST SEED\n");
    return 2;
  }
  return larder::tests::Import(argv[1], first, seed);
}
