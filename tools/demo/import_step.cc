#include "tools/demo/import_step.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/units.h"
#include "tools/demo/corpus.h"

namespace larder::demo {
namespace {

constexpr int64_t kHourMillis = 3'600'000;
constexpr int64_t kBriefMillis = 2'000;

// "tag: what kind of file it is", from its name.
std::string KindTag(const std::string& key) {
  const size_t dot = key.rfind('.');
  const bool has = dot != std::string::npos && key.size() - dot <= 8 &&
                   key.find('/', dot) == std::string::npos;
  return absl::StrCat("kind:", has ? key.substr(dot + 1) : "other");
}

// Puts file `i`; returns how many blobs it became.
absl::StatusOr<int64_t> ImportOne(Stage* stage, size_t i, std::string* bytes) {
  const CorpusFile& file = stage->corpus.files[i];
  LARDER_RETURN_IF_ERROR(ReadCorpusFile(file, bytes));
  Model::Put put{.file = static_cast<int32_t>(i)};
  put.ttl_ms = i % 2 == 0 ? 0 : kHourMillis;
  put.tag = KindTag(file.key);
  LARDER_RETURN_IF_ERROR(
      PutFile(stage, RootNamespace(file.root), file.key, *bytes, put));
  if (i % 8 != 0) return 1;
  // Two roots may hold the same key.
  const std::string key = absl::StrCat(file.root, "/", file.key);
  // A key has room for both.
  if (static_cast<int64_t>(key.size()) > cache::kKeyBytesMax) return 1;
  LARDER_RETURN_IF_ERROR(
      PutFile(stage, kScratchNamespace, key, *bytes, {.file = put.file}));
  LARDER_RETURN_IF_ERROR(PutFile(stage, kBriefNamespace, key, *bytes,
                                 {.file = put.file, .ttl_ms = kBriefMillis}));
  return 3;
}

}  // namespace

absl::Status ImportFiles(Stage* stage, Readers* readers) {
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  const size_t files = stage->corpus.files.size();
  std::string bytes;
  int64_t blobs = 0;
  int64_t put_bytes = 0;
  for (size_t i = 0; i < files; ++i) {
    if (cli::Interrupted()) return cli::InterruptedError();
    LARDER_ASSIGN_OR_RETURN(const int64_t made, ImportOne(stage, i, &bytes));
    blobs += made;
    put_bytes += made * stage->corpus.files[i].bytes;
    readers->Publish(static_cast<int64_t>(i) + 1);
  }
  LARDER_RETURN_IF_ERROR(stage->cache->Flush());
  const int64_t nanos = clock->NowSteadyNanos() - start_nanos;
  const double rate =
      static_cast<double>(put_bytes) / (static_cast<double>(nanos) / 1e9);
  stage->figures.import_bytes_per_second = rate;
  stage->narrator->Check(
      "import", true,
      absl::StrCat(cli::FormatPlural(blobs, "blob"), ", ",
                   cli::FormatBytes(put_bytes), " in ",
                   cli::FormatMillis(nanos / 1'000'000), " (",
                   cli::FormatBytesPerSecond(rate),
                   "), some to expire in 2 s or in an hour, all tagged"));
  stage->narrator->Check("", readers->wrong() == 0,
                         absl::StrCat("readers beside it: ",
                                      cli::FormatPlural(readers->gets(), "get"),
                                      ", ", cli::FormatCount(readers->wrong()),
                                      " with wrong or torn bytes"));
  return absl::OkStatus();
}

}  // namespace larder::demo
