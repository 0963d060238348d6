// The demo's own words: one aligned line for each thing done, with a tick, or
// a loud failure.
#ifndef LARDER_TOOLS_DEMO_NARRATOR_H_
#define LARDER_TOOLS_DEMO_NARRATOR_H_

#include "absl/strings/string_view.h"
#include "tools/cli/console.h"

namespace larder::demo {

// Single-owner. Borrows `console` and `failures`.
class Narrator {
 public:
  Narrator(cli::Console* console, cli::Failures* failures);

  // A line of its own, as it is.
  void Say(absl::string_view line);
  // What was done, in the column of `step` ("": as above).
  void Tell(absl::string_view step, absl::string_view text);
  // The same for something that must be so: a tick, or a failure, which is
  // counted and printed whatever the options. Returns `ok`.
  bool Check(absl::string_view step, bool ok, absl::string_view text);

 private:
  cli::Console* const console_;
  cli::Failures* const failures_;
  const bool color_;
};

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_NARRATOR_H_
