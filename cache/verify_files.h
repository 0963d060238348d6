// VerifyL2() for whoever has the files open.
#ifndef LARDER_CACHE_VERIFY_FILES_H_
#define LARDER_CACHE_VERIFY_FILES_H_

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cache/l2/l2_files.h"
#include "cache/l2/superblock.h"
#include "cache/verify.h"

namespace larder::cache {

// kTrusted: whose chains were all read a moment ago, by the same process.
enum class VerifyChains { kRead, kTrusted };

// Checks what `superblock` reaches. Errors and memory: as VerifyL2().
absl::StatusOr<VerifyReport> VerifyFiles(const l2::L2Files& files,
                                         const l2::Superblock& superblock,
                                         VerifyChains chains,
                                         absl::FunctionRef<bool()> cancelled);

}  // namespace larder::cache

#endif  // LARDER_CACHE_VERIFY_FILES_H_
