// Restores from a replica and compares everything with everything.
#ifndef LARDER_TOOLS_DEMO_RESTORE_STEP_H_
#define LARDER_TOOLS_DEMO_RESTORE_STEP_H_

#include "absl/status/status.h"
#include "tools/demo/stage.h"

namespace larder::demo {

// Restores the snapshot from the second replica, and holds the restored L2
// against the model at the snapshot's epoch, and the living one against the
// model as it is now, every blob against its file.
absl::Status RestoreAndCompare(Stage* stage);

// Closes the cache, and verifies both L2s and both replicas.
absl::Status VerifyAll(Stage* stage);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_RESTORE_STEP_H_
