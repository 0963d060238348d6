// A real crash between chain and commit, and what it leaves.
#ifndef LARDER_TOOLS_DEMO_CRASH_STEP_H_
#define LARDER_TOOLS_DEMO_CRASH_STEP_H_

#include "absl/status/status.h"
#include "tools/demo/stage.h"

namespace larder::demo {

// Closes the L2, lets a child process put blobs into it and kill itself before
// any commit, opens it again, checks that nothing committed is lost and
// nothing uncommitted is there, and reclaims the orphans.
absl::Status CrashAndReclaim(Stage* stage);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_CRASH_STEP_H_
