// What a cache or a directory of files holds, as text: a line for each thing,
// so that a test can say all that it expects.
#ifndef LARDER_TESTS_GOLDEN_DESCRIBE_H_
#define LARDER_TESTS_GOLDEN_DESCRIBE_H_

#include <cstdint>
#include <string>

#include "cache/blob_cache.h"

namespace larder::tests {

// Namespaces with their flushes, tombstones, and every blob that is served,
// with its attributes and the checksum of its bytes; sorted. Times are
// milliseconds behind `epoch_unix_ms`. Commits.
std::string DescribeCache(cache::BlobCache* cache, int64_t epoch_unix_ms);

// Every file below `root`: path, mode, modification time, size, checksum.
std::string DescribeFiles(const std::string& root);

}  // namespace larder::tests

#endif  // LARDER_TESTS_GOLDEN_DESCRIBE_H_
