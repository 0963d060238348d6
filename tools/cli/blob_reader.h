// Reads a blob piece by piece, so that a large one needs little memory.
#ifndef LARDER_TOOLS_CLI_BLOB_READER_H_
#define LARDER_TOOLS_CLI_BLOB_READER_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"

namespace larder::cli {

// Passes the bytes of (`ns`, `key`) to `take`, in order, at most 8 MiB at a
// time; at least once, also for an empty blob. Nobody else may write the key
// meanwhile (tools hold the directory's lock).
// Errors: kNotFound; kDataLoss when its bytes are damaged, possibly after
// some pieces; those of `take`.
absl::Status ReadBlob(
    cache::BlobCache* cache, absl::string_view ns, absl::string_view key,
    absl::FunctionRef<absl::Status(const cache::Hit& piece)> take);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_BLOB_READER_H_
