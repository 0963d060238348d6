// What the steps of the demo share.
#ifndef LARDER_TOOLS_DEMO_STAGE_H_
#define LARDER_TOOLS_DEMO_STAGE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "tools/demo/corpus.h"
#include "tools/demo/latency.h"
#include "tools/demo/model.h"
#include "tools/demo/narrator.h"

namespace larder::demo {

// Namespaces: one of real files for each root, "root0" and so on, and these.
inline constexpr absl::string_view kStormNamespace = "storm";
inline constexpr absl::string_view kBriefNamespace = "brief";  // Short TTLs.
inline constexpr absl::string_view kScratchNamespace = "scratch";  // Flushed.
inline constexpr absl::string_view kCrashNamespace = "crash";

// Figures for the closing table and for --json.
struct Figures {
  double import_bytes_per_second = 0;
  int64_t snapshot_blobs = 0;
  int64_t snapshot_raw_bytes = 0;
  int64_t snapshot_stored_bytes = 0;
  double backup_bytes_per_second = 0;  // Of raw bytes, to all replicas.
  double restore_bytes_per_second = 0;
  int64_t pin_nanos = 0;
  int64_t flush_nanos = 0;
  int64_t orphan_bytes = 0;
  int64_t gets = 0;
  int64_t compared_blobs = 0;
  int64_t compared_bytes = 0;
};

// Single-owner, but for `model` and the histograms. `cache` is null while the
// L2 is closed.
struct Stage {
  explicit Stage(Narrator* the_narrator) : narrator(the_narrator) {}

  Narrator* const narrator;
  std::string work;  // Directory of everything below.
  std::string L2Path() const { return work + "/l2"; }
  std::string ReplicaPath(int i) const {
    return work + "/replica" + std::to_string(i);
  }
  std::string RestoredPath() const { return work + "/restored"; }

  Corpus corpus;
  Model model;
  std::unique_ptr<cache::BlobCache> cache;
  LatencyHistogram gets_without_backup;
  LatencyHistogram gets_with_backup;

  uint64_t snapshot_epoch = 0;
  std::string snapshot_id;
  Figures figures;
};

// Namespace of the files of root `root`.
std::string RootNamespace(int32_t root);

// Opens the L2 at `path` as a server would, and must find it there unless
// `create`.
absl::StatusOr<std::unique_ptr<cache::BlobCache>> OpenForDemo(
    const std::string& path, bool create);

// Puts file `file` of the corpus, whose content is `bytes`, under a name, and
// tells the model.
absl::Status PutFile(Stage* stage, absl::string_view ns, absl::string_view key,
                     absl::string_view bytes, const Model::Put& put);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_STAGE_H_
