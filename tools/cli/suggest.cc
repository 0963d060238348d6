#include "tools/cli/suggest.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace larder::cli {
namespace {

// Optimal string alignment distance.
size_t Edits(absl::string_view a, absl::string_view b) {
  // cost[i][j]: from the first i letters of `a` to the first j of `b`.
  std::vector<std::vector<size_t>> cost(a.size() + 1,
                                        std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t edits_max = std::max<size_t>(1, word.size() / 3);
  for (const std::string& candidate : candidates) {
    const size_t edits = Edits(word, candidate);
    if (edits > edits_max || (edits == edits_max && !nearest.empty())) continue;
    edits_max = edits;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace larder::cli
