#include "tests/golden/golden_set.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/directory_source.h"
#include "backup/format/limits.h"
#include "backup/lazy_restore.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "replication/live_replica_test_support.h"
#include "tests/golden/golden_files.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using backup::BackupOrchestrator;
using backup::BlobCacheSource;
using backup::DirectorySink;
using backup::DirectorySource;
using cache::BlobCache;
using cache::PutOptions;

// Compresses to about a kilobyte for each frame.
std::string Large(size_t bytes) {
  const std::string pattern = Incompressible(600, 1);
  std::string text;
  while (text.size() < bytes) text += pattern;
  text.resize(bytes);
  return text;
}

void Put(BlobCache* cache, absl::string_view ns, absl::string_view key,
         absl::string_view bytes, const PutOptions& options = {}) {
  LARDER_CHECK(cache->Put(ns, key, bytes, options).ok());
}

// Every kind of blob and attribute.
void PutAllKinds(BlobCache* cache) {
  Put(cache, "pages", "plain", "hello");
  Put(cache, "pages", "empty", "");
  Put(cache, "pages", absl::string_view("k\0\xff", 3), "a key of any bytes");
  Put(cache, "pages", "ttl", "an hour",
      {.ttl_ms = 3'600'000, .stale_while_revalidate_ms = 60'000});
  Put(cache, "pages", "idle", "while read", {.idle_ttl_ms = 600'000});
  Put(cache, "pages", "all", "everything at once",
      {.expires_at_unix_ms = kGoldenUnixMillis + 86'400'000,
       .priority = 200,
       .l1_admission = cache::L1Admission::kNever,
       .version = 7,
       .tags = {"product:42", "red"},
       .dependencies = {"template"},
       .metadata = {{"type", "text/html"}, {"etag", "x"}}});
  Put(cache, "images", "zstd", Large(20'000));
  Put(cache, "images", "frames", Large(2'500'000), {.tags = {"large"}});
  Put(cache, "images", "raw", Incompressible(3000, 2));
}

// Of each kind one that covers something, and what came after it.
void Invalidate(BlobCache* cache) {
  for (const char* ns : {"pages", "flushed"}) {
    Put(cache, ns, "dir/a", "by prefix");
    Put(cache, ns, "tagged", "by tag", {.tags = {"blue"}});
    Put(cache, ns, "depends", "by dependency", {.dependencies = {"data"}});
    Put(cache, ns, "deleted", "by key");
  }
  LARDER_CHECK(cache->InvalidatePrefix("pages", "dir/").ok());
  LARDER_CHECK(
      cache->InvalidateTags("pages", std::vector<std::string>{"blue"}).ok());
  LARDER_CHECK(
      cache->InvalidateDependencies("pages", std::vector<std::string>{"data"})
          .ok());
  LARDER_CHECK(cache->InvalidateKey("pages", "deleted").ok());
  LARDER_CHECK(cache->FlushNamespace("flushed").ok());
  LARDER_CHECK(cache->FlushNamespace("flushed").ok());
  Put(cache, "pages", "dir/b", "put after it");
  Put(cache, "flushed", "tagged", "put after it", {.tags = {"blue"}});
}

void WriteFile(const std::string& path, const std::string& bytes, mode_t mode) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  const timespec times[] = {{1'600'000'000, 0}, {1'600'000'000, 5'000'000}};
  LARDER_CHECK(file.good() && chmod(path.c_str(), mode) == 0 &&
               utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

// A cache and archives on a disk, and directories of this machine.
class Archives {
 public:
  // `scratch` is absent, and so it is at the end.
  explicit Archives(std::string scratch)
      : scratch_(std::move(scratch)),
        files_(scratch_ + "/files"),
        logs_(scratch_ + "/logs") {
    WriteFile(files_ + "/etc/motd", "hello\n", 0644);
    WriteFile(files_ + "/etc/empty", "", 0600);
    WriteFile(files_ + "/bin/run", "#!/bin/sh\n", 0755);
    WriteFile(files_ + "/large", Large(50'000), 0640);
    WriteFile(logs_ + "/today", Incompressible(2000, 3), 0600);
  }

  ~Archives() { fs::remove_all(scratch_); }

  BlobCache* Start(const std::string& name) {
    cache_.reset();
    clock_ = std::make_unique<cache::ManualClock>(kGoldenUnixMillis);
    auto options = replication::LiveCacheOptions(clock_.get(), &disk_, 3);
    options.l2_path = absl::StrCat("/l2-", name);
    auto opened = BlobCache::Open(options);
    LARDER_CHECK(opened.ok());
    cache_ = *std::move(opened);
    archive_ = absl::StrCat("/archives/", name);
    return cache_.get();
  }
  void Backup(bool with_cache, const std::vector<std::string>& directories) {
    clock_->AdvanceMillis(1000);
    BackupOrchestrator orchestrator(
        {.clock = clock_.get(), .random_seed = ++seed_});
    if (with_cache) {
      // Small, so that a small dump has several of everything.
      BlobCacheSource::Options source;
      source.range_records_max = 4;
      source.frame_chunk_bytes = 2000;
      orchestrator.AddSource(std::make_unique<BlobCacheSource>(
          [this](const auto& pin) { return cache_->TakeSnapshot(pin); },
          source));
    }
    for (const std::string& directory : directories) {
      DirectorySource::Options source;
      source.name = fs::path(directory).filename();
      source.chunk_bytes = 20'000;
      orchestrator.AddSource(
          std::make_unique<DirectorySource>(directory, source));
    }
    orchestrator.AddSink(DirectorySink::Create(
        archive_, {.pack_bytes = 4000, .file_system = &disk_}));
    backup::BackupRequest request;
    request.include_blob_cache = with_cache;
    LARDER_CHECK(orchestrator.Run(request).outcome == backup::Outcome::kOk);
  }
  // Restores the archive of the last Start() lazily, and leaves it at that.
  void BeginLazyRestore(const std::string& l2) {
    auto options = replication::LiveCacheOptions(clock_.get(), &disk_, 4);
    options.l2_path = l2;
    const auto lazy =
        backup::LazyRestore::Open({.archives = {archive_}, .cache = options});
    LARDER_CHECK(lazy.ok());
    // What is hot is known, and some of it is there.
    for (int i = 0; i < 12; ++i) LARDER_CHECK((*lazy)->Hydrate(1).ok());
    Put(lazy->get(), "pages", "new", "put meanwhile");
    LARDER_CHECK((*lazy)->InvalidateKey("pages", "idle").ok());
  }
  void Export(const std::string& root) {
    ExportTree(&disk_, "/archives", root);
  }

  const std::string& files() const { return files_; }
  const std::string& logs() const { return logs_; }

 private:
  std::unique_ptr<cache::ManualClock> clock_;
  cache::l2::SimulatedDisk disk_;
  const std::string scratch_;
  const std::string files_;
  const std::string logs_;
  std::unique_ptr<BlobCache> cache_;
  std::string archive_;
  uint64_t seed_ = 0;
};

void WriteArchives(const std::string& root) {
  Archives archives(root + ".files");
  BlobCache* cache = archives.Start("full");
  PutAllKinds(cache);
  Invalidate(cache);
  archives.Backup(true, {});

  cache = archives.Start("chain");
  PutAllKinds(cache);
  archives.Backup(true, {});
  Invalidate(cache);
  archives.Backup(true, {});
  Put(cache, "pages", "plain", "hello again", {.version = 2});
  LARDER_CHECK(cache->InvalidateKey("images", "zstd").ok());
  LARDER_CHECK(cache->FlushNamespace("images").ok());
  Put(cache, "images", "after", "the flush");
  archives.Backup(true, {});

  archives.BeginLazyRestore("/archives/hydrating/l2");

  cache = archives.Start("folded");
  PutAllKinds(cache);
  for (int i = 0; i < backup::format::kDeltasPerChainMax + 2; ++i) {
    Put(cache, "pages", absl::StrCat("step", i), absl::StrCat("of ", i));
    Put(cache, "pages", "changing", absl::StrCat("at ", i));
    archives.Backup(true, {});
  }

  archives.Start("files");
  archives.Backup(false, {archives.files(), archives.logs()});
  cache = archives.Start("both");
  PutAllKinds(cache);
  archives.Backup(true, {archives.files()});
  archives.Export(root);
}

void WriteLiveReplica(const std::string& root) {
  cache::ManualClock clock(kGoldenUnixMillis);
  replication::LiveReplica replica(&clock);
  LARDER_CHECK(replica.Start().ok());
  replication::LivePrimary primary(&clock);
  const auto back_up = [&] {
    LARDER_CHECK(primary.Backup({&replica}, /*term=*/5).outcome ==
                 backup::Outcome::kOk);
  };
  PutAllKinds(primary.cache.get());
  back_up();
  Invalidate(primary.cache.get());
  back_up();
  Put(primary.cache.get(), "pages", "late", "on its way");
  bool exported = false;
  replica.network.on_request = [&](const replication::TransferRequest& r) {
    if (!r.has_finish() || exported) return replication::Fate::kArrives;
    // All of it has come, and nothing is applied yet.
    replica.network.AwaitIdle();
    ExportTree(&replica.disk, "/data", root + "/live");
    exported = true;
    return replication::Fate::kArrives;
  };
  back_up();
  LARDER_CHECK(exported);
  // As of one that was killed: this flush is in the journal alone.
  LARDER_CHECK(primary.cache->FlushNamespace("images").ok());
  ExportTree(primary.disk(), "/data", root + "/primary");
}

}  // namespace

void WriteGoldenSet(const std::string& root) {
  WriteArchives(root);
  WriteLiveReplica(root);
}

}  // namespace larder::tests
