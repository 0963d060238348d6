// What may be written to a stream: colours and moving lines, or plain text.
#ifndef LARDER_TOOLS_CLI_TERMINAL_H_
#define LARDER_TOOLS_CLI_TERMINAL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace larder::cli {

// Whether `fd` is a terminal that can redraw a line (TERM is not "dumb").
bool IsTerminal(int fd);

// Whether to colour what goes to `fd`: a terminal, and NO_COLOR is not set
// (https://no-color.org).
bool ColorAllowed(int fd);

// Columns of the terminal behind `fd`; 80 when it does not say.
int TerminalColumns(int fd);

enum class Color { kGreen, kRed, kDim, kBold };

// `text` in `color` when `allowed`, else as it is.
std::string Colored(bool allowed, Color color, absl::string_view text);

// A name on one line of a terminal: control characters and what is not UTF-8
// escaped, as in C.
std::string Printable(absl::string_view name);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_TERMINAL_H_
