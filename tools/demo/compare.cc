#include "tools/demo/compare.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/terminal.h"

namespace larder::demo {
namespace {

constexpr size_t kExamples = 5;

using Name = std::pair<std::string, std::string>;

void AddExample(const Name& name, absl::string_view what, Comparison* result) {
  if (result->examples.size() == kExamples) return;
  result->examples.push_back(
      absl::StrCat(name.first, " ", cli::Printable(name.second), ": ", what));
}

absl::StatusOr<std::set<Name>> ValidNames(const cache::BlobCache& cache) {
  std::set<Name> names;
  LARDER_RETURN_IF_ERROR(cache.ForEachL2Record(
      /*ns=*/"", /*after_key=*/"", [&names](const auto& record) {
        if (record.valid) {
          names.emplace(std::string(record.ns), std::string(record.key));
        }
        return true;
      }));
  return names;
}

}  // namespace

absl::StatusOr<Comparison> Compare(cache::BlobCache* cache,
                                   const Corpus& corpus,
                                   const Model::Contents& expected) {
  Comparison result;
  LARDER_ASSIGN_OR_RETURN(const std::set<Name> names, ValidNames(*cache));
  for (const Name& name : names) {
    if (expected.count(name) == 0) {
      ++result.unexpected;
      AddExample(name, "should not be there", &result);
    }
  }
  std::string content;
  for (const auto& [name, file] : expected) {
    if (cli::Interrupted()) return cli::InterruptedError();
    const std::optional<cache::Hit> hit = cache->Get(name.first, name.second);
    if (names.count(name) == 0 || !hit.has_value()) {
      ++result.missing;
      AddExample(name, "missing", &result);
      continue;
    }
    LARDER_RETURN_IF_ERROR(
        ReadCorpusFile(corpus.files[static_cast<size_t>(file)], &content));
    if (hit->bytes() != content) {
      ++result.different;
      AddExample(name, "its bytes differ from the file's", &result);
      continue;
    }
    ++result.equal;
    result.equal_bytes += static_cast<int64_t>(content.size());
  }
  return result;
}

}  // namespace larder::demo
