// Files that are copied: what a dump to a directory cannot be much faster than.
#ifndef LARDER_BENCH_STORES_PLAIN_COPY_H_
#define LARDER_BENCH_STORES_PLAIN_COPY_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::bench {

// Creates `dir` with files that hold `count` values one after the other, each
// as large as one of Larder's packs.
absl::Status FillPlainFiles(
    const std::string& dir, int64_t count,
    absl::FunctionRef<absl::string_view(int64_t)> value_of);

enum class CopyBy { kReadAndWrite, kCopyFileRange };

// Copies the files of `from` into `to`, which is created, as cp(1) does: in
// this thread, without a sync.
absl::Status CopyPlainFiles(const std::string& from, const std::string& to,
                            CopyBy by);

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_PLAIN_COPY_H_
