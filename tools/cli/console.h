// Where a command's words go: text for people, or one JSON object.
#ifndef LARDER_TOOLS_CLI_CONSOLE_H_
#define LARDER_TOOLS_CLI_CONSOLE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tools/cli/failures.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/progress.h"

namespace larder::cli {

// How a command ended.
struct CommandResult {
  absl::Status status;  // Not OK: it failed, and why.
  Failures failures;    // Not empty: it worked in part.
  JsonObject facts;     // For --json, also when it failed.
};

// Single-owner, but for Warn() and the progress line, which are thread-safe.
class Console {
 public:
  struct Options {
    std::string command;  // "import"
    bool json = false;
    bool quiet = false;
  };

  explicit Console(Options options);

  const Options& options() const { return options_; }

  // A line for people on stdout; nothing with --json or --quiet.
  void Say(absl::string_view line);
  // A line on stderr, always. Clears a progress line first.
  void Warn(absl::string_view line);
  // Warns of an item that failed, and counts it.
  void Fail(absl::string_view item, absl::string_view reason,
            Failures* failures);
  // Bytes for stdout, as they are, whatever the options.
  void Data(absl::string_view bytes);

  // Only on a terminal, and not with --quiet.
  bool ShowsProgress() const;
  // Starts the progress line on stderr, in place of an older one. Valid until
  // EndProgress(), the next call, or the end of the console.
  Progress* StartProgress(absl::string_view label, int64_t bytes_total);
  void EndProgress();

  // Prints what is left to say (the error, or the JSON object), and returns
  // the exit code.
  int Finish(const CommandResult& result);
  // The same for a command line that is wrong: kExitUsage. `help_command`
  // tells more.
  int RefuseUsage(absl::string_view error, absl::string_view help_command);

 private:
  int PrintEnd(int code, absl::string_view error, const JsonObject& facts);

  const Options options_;
  std::unique_ptr<Progress> progress_;
};

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_CONSOLE_H_
