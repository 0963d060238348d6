// Names in a dump: what is accepted is safe, what splits joins again, and both
// orders are those of the parts. Input: u8 size, one name; the rest is another.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "cache/check.h"
#include "tests/fuzz/input.h"

namespace larder::backup::format {
namespace {

using tests::Within;

void CheckPath(absl::string_view path) {
  const absl::Status status = CheckRelativePath(path);
  if (!status.ok()) {
    LARDER_CHECK(absl::IsInvalidArgument(status));
    return;
  }
  LARDER_CHECK(path.size() <= static_cast<size_t>(kPathBytesMax));
  const std::filesystem::path parsed{std::string(path)};
  LARDER_CHECK(parsed.is_relative());
  LARDER_CHECK(parsed.lexically_normal().native() == path);
  int64_t depth = 0;
  for (const std::filesystem::path& component : parsed) {
    LARDER_CHECK(component != ".." && component != "." && !component.empty());
    ++depth;
  }
  LARDER_CHECK(depth <= kPathDepthMax);
}

void CheckPrintable(absl::string_view name) {
  const std::string text = Printable(name);
  LARDER_CHECK(text.size() <= 450);
  for (const char c : text) LARDER_CHECK(c >= ' ' && c <= '~');
}

void CheckPackName(absl::string_view name) {
  std::string id;
  if (!ParsePackName(name, &id)) return;
  LARDER_CHECK(IsSnapshotId(id) && CheckRelativePath(name).ok());
  uint32_t index = 0;
  for (const char c : name.substr(id.size() + 1, 6)) {
    index = 10 * index + static_cast<uint32_t>(c - '0');
  }
  LARDER_CHECK(PackName(id, index) == name);
}

void CheckPathOrder(absl::string_view a, absl::string_view b) {
  const auto components = [](absl::string_view path) {
    return std::vector<std::string>(absl::StrSplit(path, '/'));
  };
  LARDER_CHECK(PathLess(a, b) == (components(a) < components(b)));
  LARDER_CHECK(PathLess(b, a) == (components(b) < components(a)));
}

using Name = std::pair<absl::string_view, absl::string_view>;

bool Split(absl::string_view name, Name* parts) {
  if (!SplitBlobName(name, &parts->first, &parts->second)) {
    LARDER_CHECK(name.find('\0') == absl::string_view::npos);
    return false;
  }
  LARDER_CHECK(Within(parts->first, name) && Within(parts->second, name));
  LARDER_CHECK(BlobName(parts->first, parts->second) == name);
  return true;
}

void CheckBlobNames(absl::string_view a, absl::string_view b) {
  Name parts_a, parts_b;
  if (!Split(a, &parts_a) || !Split(b, &parts_b)) return;
  LARDER_CHECK((a < b) == (parts_a < parts_b));
}

}  // namespace
}  // namespace larder::backup::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::backup::
      format;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const absl::string_view input = larder::tests::Input(data + 1, size - 1);
  const absl::string_view a = input.substr(0, data[0]);
  const absl::string_view b = input.substr(a.size());
  for (const absl::string_view name : {a, b}) {
    CheckPath(name);
    CheckPrintable(name);
    CheckPackName(name);
  }
  CheckPathOrder(a, b);
  CheckBlobNames(a, b);
  return 0;
}
