// Whether a record's chain is all there, and its own.
#ifndef LARDER_CACHE_L2_CHECK_CHAIN_H_
#define LARDER_CACHE_L2_CHECK_CHAIN_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"
#include "cache/l2/record.h"

namespace larder::cache::l2 {

// Reads, verifies and decodes the header block and every frame of the chain of
// `record`, which is that of `key` in namespace `ns`.
// Errors: kDataLoss saying what is wrong where.
// Memory: one frame.
absl::Status CheckChain(const File& blobs, const Record& record,
                        absl::string_view ns, absl::string_view key);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_CHECK_CHAIN_H_
