// A backup to two replicas, in the middle of storm and sweeps.
#ifndef LARDER_TOOLS_DEMO_BACKUP_STEP_H_
#define LARDER_TOOLS_DEMO_BACKUP_STEP_H_

#include "absl/status/status.h"
#include "tools/demo/readers.h"
#include "tools/demo/stage.h"
#include "tools/demo/storm.h"

namespace larder::demo {

// Sets stage->snapshot_id and stage->snapshot_epoch. The snapshot is taken
// while a sweep runs.
absl::Status BackUp(Stage* stage, Readers* readers, Storm* storm);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_BACKUP_STEP_H_
