#include "tools/demo/corpus.h"

#include <fcntl.h>
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "tools/cli/file_walk.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/read_input.h"

namespace larder::demo {
namespace {

class Collector : public cli::FileVisitor {
 public:
  Collector(const CorpusLimits& limits, Corpus* corpus)
      : limits_(limits), corpus_(corpus) {}

  void StartRoot(const std::string& root) {
    root_ = root;
    files_ = 0;
    bytes_ = 0;
  }

  bool OnFile(absl::string_view path, int directory_fd, const char* name,
              int64_t size_bytes) override {
    if (cli::Interrupted()) return false;
    if (files_ >= limits_.files_max_per_root ||
        bytes_ >= limits_.bytes_max_per_root) {
      corpus_->more = true;
      return false;
    }
    if (size_bytes > limits_.file_bytes_max || !cache::ValidateKey(path).ok()) {
      return true;
    }
    auto fd = cli::OpenRegular(directory_fd, name, cli::Links::kSkip);
    if (!fd.ok() ||
        !cli::ReadInput(fd->get(), size_bytes, limits_.file_bytes_max, &buffer_)
             .ok()) {
      return true;
    }
    Take(path);
    return true;
  }
  void OnSkipped(absl::string_view) override {}
  void OnError(absl::string_view, const absl::Status&) override {}

 private:
  void Take(absl::string_view path) {
    if (files_ == 0) corpus_->roots.push_back(root_);
    CorpusFile file;
    file.path = absl::StrCat(root_, "/", path);
    file.key = std::string(path);
    file.root = static_cast<int32_t>(corpus_->roots.size()) - 1;
    file.bytes = static_cast<int64_t>(buffer_.size());
    file.checksum = ContentChecksum(buffer_);
    ++files_;
    bytes_ += file.bytes;
    corpus_->bytes += file.bytes;
    corpus_->files.push_back(std::move(file));
  }

  const CorpusLimits& limits_;
  Corpus* const corpus_;
  std::string root_;
  std::string buffer_;
  int64_t files_ = 0;  // Of this root.
  int64_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<Corpus> CollectCorpus(const std::vector<std::string>& roots,
                                     const CorpusLimits& limits) {
  Corpus corpus;
  Collector collector(limits, &corpus);
  for (const std::string& root : roots) {
    collector.StartRoot(root);
    // The slash: only a directory will do. Else a root that is missing is as
    // good as an empty one.
    const absl::Status walked =
        cli::WalkFiles(absl::StrCat(root, "/"), {}, &collector);
    if (cli::Interrupted()) return cli::InterruptedError();
    if (!walked.ok() && roots.size() == 1) return walked;
    if (static_cast<int64_t>(corpus.files.size()) >= limits.files_enough &&
        corpus.bytes >= limits.bytes_enough) {
      break;
    }
  }
  if (corpus.files.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no readable file below ", absl::StrJoin(roots, ", ")));
  }
  return corpus;
}

absl::Status ReadCorpusFile(const CorpusFile& file, std::string* bytes) {
  LARDER_ASSIGN_OR_RETURN(
      const cli::UniqueFd fd,
      cli::OpenRegular(AT_FDCWD, file.path.c_str(), cli::Links::kSkip));
  LARDER_RETURN_IF_ERROR(
      cli::ReadInput(fd.get(), file.bytes, cache::kBlobBytesMax, bytes));
  if (static_cast<int64_t>(bytes->size()) != file.bytes ||
      ContentChecksum(*bytes) != file.checksum) {
    return absl::AbortedError(
        absl::StrCat(file.path, ": changed while the demo ran"));
  }
  return absl::OkStatus();
}

uint64_t ContentChecksum(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace larder::demo
