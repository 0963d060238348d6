// Holds a cache against the model and the files, byte for byte.
#ifndef LARDER_TOOLS_DEMO_COMPARE_H_
#define LARDER_TOOLS_DEMO_COMPARE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/blob_cache.h"
#include "tools/demo/corpus.h"
#include "tools/demo/model.h"

namespace larder::demo {

struct Comparison {
  int64_t equal = 0;
  int64_t equal_bytes = 0;
  int64_t missing = 0;                // Expected and not there.
  int64_t unexpected = 0;             // There and not expected.
  int64_t different = 0;              // There, with other bytes.
  std::vector<std::string> examples;  // The first of what is wrong.
  bool ok() const { return missing + unexpected + different == 0; }
};

// Compares all valid blobs of `cache`, which nobody changes meanwhile.
// Errors: when a file or the cache cannot be read.
absl::StatusOr<Comparison> Compare(cache::BlobCache* cache,
                                   const Corpus& corpus,
                                   const Model::Contents& expected);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_COMPARE_H_
