#include "tools/demo/narrator.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/cli/terminal.h"

namespace larder::demo {

Narrator::Narrator(cli::Console* console, cli::Failures* failures)
    : console_(console),
      failures_(failures),
      color_(cli::ColorAllowed(STDOUT_FILENO)) {}

void Narrator::Say(absl::string_view line) { console_->Say(line); }

void Narrator::Tell(absl::string_view step, absl::string_view text) {
  console_->Say(absl::StrFormat("%-9s   %s", step, text));
}

bool Narrator::Check(absl::string_view step, bool ok, absl::string_view text) {
  const std::string mark =
      ok ? cli::Colored(color_, cli::Color::kGreen, "\u2713")
         : cli::Colored(color_, cli::Color::kRed, "\u2717");
  console_->Say(absl::StrFormat("%-9s %s %s", step, mark, text));
  if (!ok) console_->Fail(step.empty() ? "check" : step, text, failures_);
  return ok;
}

}  // namespace larder::demo
