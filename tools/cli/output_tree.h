// A directory that files are written below, and nowhere else.
#ifndef LARDER_TOOLS_CLI_OUTPUT_TREE_H_
#define LARDER_TOOLS_CLI_OUTPUT_TREE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/cli/unique_fd.h"

namespace larder::cli {

// Says why `name` is not the path of a file below a directory: absolute, a
// component that is empty, "." or "..", or longer than 255 bytes, a NUL byte.
// Errors: kInvalidArgument.
absl::Status CheckRelativeName(absl::string_view name);

// Names are checked, and links below the tree are never followed: a hostile
// name cannot reach outside. A file appears whole or not at all.
//
// Single-owner. Begin, Append..., Finish; or Abandon at any time.
class OutputTree {
 public:
  // Creates `path` and its parents when absent.
  // Errors: kAlreadyExists when it has entries, unless `may_have_entries`;
  // kFailedPrecondition when it is not a directory.
  static absl::StatusOr<OutputTree> Open(const std::string& path,
                                         bool may_have_entries);

  OutputTree(OutputTree&& other) = default;
  OutputTree& operator=(OutputTree&&) = delete;
  ~OutputTree() { Abandon(); }

  absl::Status Begin();
  absl::Status Append(absl::string_view bytes);
  // Gives the file its name, in place of one that is there.
  absl::Status Finish(absl::string_view name);
  void Abandon();

 private:
  explicit OutputTree(UniqueFd root) : root_(std::move(root)) {}

  UniqueFd root_;
  UniqueFd file_;
  std::string temporary_;  // The file's name in the root until Finish().
};

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_OUTPUT_TREE_H_
