#include "backup/format/names.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "backup/format/limits.h"

namespace larder::backup::format {
namespace {

absl::Status Bad(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("path \"", Printable(path), "\": ", what));
}

}  // namespace

std::string BlobName(absl::string_view ns, absl::string_view key) {
  return absl::StrCat(ns, absl::string_view("\0", 1), key);
}

bool SplitBlobName(absl::string_view name, absl::string_view* ns,
                   absl::string_view* key) {
  const size_t nul = name.find('\0');
  if (nul == absl::string_view::npos) return false;
  *ns = name.substr(0, nul);
  *key = name.substr(nul + 1);
  return true;
}

absl::Status CheckRelativePath(absl::string_view path) {
  if (path.empty()) return Bad(path, "empty");
  if (static_cast<int64_t>(path.size()) > kPathBytesMax) {
    return Bad(path, absl::StrFormat("%d bytes exceeds %d", path.size(),
                                     kPathBytesMax));
  }
  if (path.find('\0') != absl::string_view::npos) return Bad(path, "holds NUL");
  int64_t depth = 0;
  for (absl::string_view component : absl::StrSplit(path, '/')) {
    if (++depth > kPathDepthMax) {
      return Bad(path, absl::StrCat("depth exceeds ", kPathDepthMax));
    }
    if (component.empty() || component == "." || component == "..") {
      return Bad(path, "leaves its directory, or is not normal");
    }
    if (static_cast<int64_t>(component.size()) > kPathComponentBytesMax) {
      return Bad(path,
                 absl::StrFormat("component of %d bytes exceeds %d",
                                 component.size(), kPathComponentBytesMax));
    }
  }
  return absl::OkStatus();
}

bool PathLess(absl::string_view a, absl::string_view b) {
  // '/' counts as less than every other byte.
  const auto rank = [](char c) {
    return c == '/' ? 0 : static_cast<int>(static_cast<uint8_t>(c)) + 1;
  };
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [&](char x, char y) { return rank(x) < rank(y); });
}

std::string Printable(absl::string_view name) {
  constexpr size_t kBytesMax = 100;
  std::string text = absl::CHexEscape(name.substr(0, kBytesMax));
  if (name.size() > kBytesMax) {
    absl::StrAppend(&text, "... (", name.size(), " bytes)");
  }
  return text;
}

}  // namespace larder::backup::format
