#include "tools/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace larder::cli {
namespace {

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

bool IsTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) != 0 && term != nullptr &&
         absl::string_view(term) != "dumb";
}

bool ColorAllowed(int fd) { return IsTerminal(fd) && !IsSet("NO_COLOR"); }

int TerminalColumns(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string Colored(bool allowed, Color color, absl::string_view text) {
  if (!allowed) return std::string(text);
  absl::string_view code;
  switch (color) {
    case Color::kGreen:
      code = "32";
      break;
    case Color::kRed:
      code = "1;31";
      break;
    case Color::kDim:
      code = "2";
      break;
    case Color::kBold:
      code = "1";
      break;
  }
  return absl::StrCat("\033[", code, "m", text, "\033[0m");
}

std::string Printable(absl::string_view name) {
  return absl::Utf8SafeCEscape(name);
}

}  // namespace larder::cli
