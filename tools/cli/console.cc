#include "tools/cli/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/clock.h"
#include "tools/cli/exit_codes.h"
#include "tools/cli/terminal.h"

namespace larder::cli {
namespace {

void WriteTo(std::FILE* stream, absl::string_view bytes) {
  // What could not be written shows in ferror(), which Finish() looks at.
  static_cast<void>(std::fwrite(bytes.data(), 1, bytes.size(), stream));
}

int CodeOf(const CommandResult& result) {
  if (!result.status.ok()) return ExitCodeOf(result.status);
  return result.failures.empty() ? kExitOk : kExitPartial;
}

}  // namespace

Console::Console(Options options) : options_(std::move(options)) {}

void Console::Say(absl::string_view line) {
  if (options_.json || options_.quiet) return;
  WriteTo(stdout, absl::StrCat(line, "\n"));
}

void Console::Warn(absl::string_view line) {
  if (progress_ != nullptr) progress_->Clear();
  // One write, so that lines of several threads stay whole.
  WriteTo(stderr, absl::StrCat("larder: ", line, "\n"));
}

void Console::Fail(absl::string_view item, absl::string_view reason,
                   Failures* failures) {
  Warn(absl::StrCat(Printable(item), ": ", reason));
  failures->Add(item, reason);
}

void Console::Data(absl::string_view bytes) { WriteTo(stdout, bytes); }

bool Console::ShowsProgress() const {
  return !options_.quiet && IsTerminal(STDERR_FILENO);
}

Progress* Console::StartProgress(absl::string_view label, int64_t bytes_total) {
  EndProgress();
  progress_ = std::make_unique<Progress>(
      Progress::Options{.label = std::string(label),
                        .bytes_total = bytes_total,
                        .enabled = ShowsProgress(),
                        .columns = TerminalColumns(STDERR_FILENO)},
      cache::SystemClock(),
      [](absl::string_view text) { WriteTo(stderr, text); });
  return progress_.get();
}

void Console::EndProgress() { progress_.reset(); }

int Console::Finish(const CommandResult& result) {
  EndProgress();
  const absl::string_view error = result.status.message();
  if (!result.status.ok()) Warn(absl::StrCat(options_.command, ": ", error));
  JsonObject facts = result.facts;
  result.failures.AddTo(&facts);
  return PrintEnd(CodeOf(result), error, facts);
}

int Console::RefuseUsage(absl::string_view error,
                         absl::string_view help_command) {
  Warn(absl::StrCat(error, "; see '", help_command, "'"));
  return PrintEnd(kExitUsage, error, {});
}

int Console::PrintEnd(int code, absl::string_view error,
                      const JsonObject& facts) {
  if (options_.json) {
    JsonObject object;
    object.String("command", options_.command)
        .Bool("ok", code == kExitOk)
        .Int("exit_code", code);
    if (!error.empty()) object.String("error", error);
    WriteTo(stdout, absl::StrCat(object.Merge(facts).Text(), "\n"));
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    Warn(absl::StrCat("stdout: ", std::strerror(errno)));
    if (code == kExitOk) code = kExitFailed;
  }
  return code;
}

}  // namespace larder::cli
