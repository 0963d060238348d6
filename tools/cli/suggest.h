// "did you mean": the known word that is nearest to a mistyped one.
#ifndef LARDER_TOOLS_CLI_SUGGEST_H_
#define LARDER_TOOLS_CLI_SUGGEST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::cli {

// Returns: the candidate with the fewest edits (insert, delete, replace, swap
// of neighbours), the first of several, if those are at most a third of the
// word's letters, and at least one; else "".
std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& candidates);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_SUGGEST_H_
