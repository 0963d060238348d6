// How a server links Larder: a page cache that survives restarts, swept in the
// background and backed up beside the server's own files.
//
//   tools/bazel run //tools:example_server -- DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/directory_source.h"
#include "backup/orchestrator.h"
#include "backup/outcome.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "sweeper/background_sweeper.h"
#include "sweeper/blob_cache_sweeper.h"

namespace {

using larder::backup::BackupOrchestrator;
using larder::backup::BlobCacheSource;
using larder::backup::DirectorySink;
using larder::backup::DirectorySource;
using larder::cache::BlobCache;
using larder::sweeper::BackgroundSweeper;
using larder::sweeper::BlobCacheSweeper;

// What takes long: here a template, in your server a database.
absl::StatusOr<BlobCache::Loaded> Render(const std::string& product) {
  return BlobCache::Loaded{
      .bytes = absl::StrCat("<h1>", product, "</h1>\n"),
      .options = {.ttl_ms = 600'000,
                  .stale_while_revalidate_ms = 30'000,
                  .tags = {absl::StrCat("product:", product)}}};
}

// One request. Of many at once for one page, one renders and the rest wait.
absl::Status Serve(BlobCache* cache, const std::string& product) {
  LARDER_ASSIGN_OR_RETURN(
      const larder::cache::Hit page,
      cache->GetOrLoad("pages", absl::StrCat("/product/", product),
                       [&product] { return Render(product); }));
  // Zero-copy: the bytes live as long as `page` does.
  std::fwrite(page.bytes().data(), 1, page.bytes().size(), stdout);
  return absl::OkStatus();
}

// A consistent snapshot of the cache, and the server's own files, in one go.
absl::Status BackUp(BlobCache* cache, const std::string& files,
                    const std::string& archive) {
  BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::make_unique<BlobCacheSource>(
      [cache](const larder::cache::EpochLock::PinOptions& pin) {
        return cache->TakeSnapshot(pin);
      },
      BlobCacheSource::Options{}));
  orchestrator.AddSource(
      std::make_unique<DirectorySource>(files, DirectorySource::Options{}));
  orchestrator.AddSink(DirectorySink::Create(archive, {}));
  const auto report = orchestrator.Run({.include_blob_cache = true});
  if (report.outcome != larder::backup::Outcome::kOk) {
    return absl::InternalError(
        absl::StrCat("backup incomplete: ", report.status.message()));
  }
  std::printf("backed up as %s\n", report.snapshot_id.c_str());
  return absl::OkStatus();
}

absl::Status RunServer(const std::string& directory) {
  const std::string files = directory + "/files";
  std::filesystem::create_directories(files);
  std::ofstream(files + "/orders.txt") << "one tin of sardines\n";

  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<BlobCache> cache,
                          BlobCache::Open({.l2_path = directory + "/cache",
                                           .l1_bytes_max = 64 << 20,
                                           .l2_bytes_max = int64_t{1} << 30}));
  BlobCacheSweeper sweeper(cache.get(), larder::cache::SystemClock());
  BackgroundSweeper background(&sweeper, {});

  LARDER_RETURN_IF_ERROR(Serve(cache.get(), "sardines"));
  LARDER_RETURN_IF_ERROR(Serve(cache.get(), "sardines"));  // From L1.
  // The product changed: every page that shows it is invalid, at once, in both
  // tiers, and stays so after a crash.
  LARDER_RETURN_IF_ERROR(
      cache->InvalidateTags("pages", {"product:sardines"}).status());
  LARDER_RETURN_IF_ERROR(Serve(cache.get(), "sardines"));  // Rendered again.
  return BackUp(cache.get(), files, directory + "/archive");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: example_server DIRECTORY\n");
    return 2;
  }
  const absl::Status status = RunServer(argv[1]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
