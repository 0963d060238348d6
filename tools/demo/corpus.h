// The real files that the demo works on.
#ifndef LARDER_TOOLS_DEMO_CORPUS_H_
#define LARDER_TOOLS_DEMO_CORPUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::demo {

struct CorpusFile {
  std::string path;       // To open it by.
  std::string key;        // Relative to its root, with '/'.
  int32_t root = 0;       // Index into Corpus::roots.
  int64_t bytes = 0;      // When it was read for `checksum`.
  uint64_t checksum = 0;  // XXH3-64 of its content.
};

// A plain value.
struct Corpus {
  std::vector<std::string> roots;  // Those that gave files.
  std::vector<CorpusFile> files;
  int64_t bytes = 0;
  // A limit was met, so that there are more files than these.
  bool more = false;
};

struct CorpusLimits {
  int64_t files_enough = 4000;
  int64_t bytes_enough = int64_t{64} << 20;
  // Of each root, so that several are seen.
  int64_t files_max_per_root = 3000;
  int64_t bytes_max_per_root = int64_t{48} << 20;
  int64_t file_bytes_max = int64_t{16} << 20;
};

// Takes files root by root until there are enough, each root up to its
// maximum; roots that are missing and files that cannot be read, or are larger
// than `file_bytes_max`, are left out. Reads every file that it takes.
// Errors: kNotFound when there is not one file; kCancelled on Ctrl-C.
absl::StatusOr<Corpus> CollectCorpus(const std::vector<std::string>& roots,
                                     const CorpusLimits& limits);

// Replaces `*bytes` with the content of `file`.
// Errors: kAborted when it is not what was collected: somebody changed it.
absl::Status ReadCorpusFile(const CorpusFile& file, std::string* bytes);

uint64_t ContentChecksum(absl::string_view bytes);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_CORPUS_H_
