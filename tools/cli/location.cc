#include "tools/cli/location.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace larder::cli {

absl::StatusOr<std::string> ParseDirectoryLocation(absl::string_view text) {
  absl::string_view path = text;
  if (absl::ConsumePrefix(&path, "dir:") && !path.empty()) {
    return std::string(path);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not a place for archives: write dir:PATH"));
}

}  // namespace larder::cli
