#include "tools/demo/crash_child.h"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/options.h"
#include "cache/status_macros.h"

namespace larder::demo {
namespace {

// Incompressible, and too large to sit in a page.
std::string RandomBytes(std::mt19937_64* random) {
  std::string bytes(16'000 + (*random)() % 100'000, '\0');
  for (char& byte : bytes) byte = static_cast<char>((*random)());
  return bytes;
}

absl::Status PutAndDie(const CrashChildFlags& flags) {
  cache::BlobCacheOptions options;
  options.l2_path = flags.l2;
  options.l2_must_exist = true;
  options.background_commits = false;
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          cache::BlobCache::Open(std::move(options)));
  const int64_t bytes_before = cache->Stats().l2.bytes_in_use;
  std::mt19937_64 random(7);
  for (int64_t i = 0; i < flags.blobs; ++i) {
    LARDER_RETURN_IF_ERROR(
        cache->Put(flags.ns, absl::StrCat("blob", i), RandomBytes(&random), {})
            .status());
  }
  std::printf("%lld\n", static_cast<long long>(cache->Stats().l2.bytes_in_use -
                                               bytes_before));
  std::fflush(stdout);
  std::raise(SIGKILL);
  return absl::InternalError("survived SIGKILL");
}

}  // namespace

cli::CommandResult RunCrashChild(const CrashChildFlags& flags, cli::Console*) {
  cli::CommandResult result;
  result.status = PutAndDie(flags);
  return result;
}

}  // namespace larder::demo
