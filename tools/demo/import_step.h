// The first step: the files become blobs, while readers read them.
#ifndef LARDER_TOOLS_DEMO_IMPORT_STEP_H_
#define LARDER_TOOLS_DEMO_IMPORT_STEP_H_

#include "absl/status/status.h"
#include "tools/demo/readers.h"
#include "tools/demo/stage.h"

namespace larder::demo {

// Every file goes into the namespace of its root: half without expiry, half
// with an hour. Every eighth also goes into "scratch", which is flushed later,
// and into "brief", to expire within two seconds.
absl::Status ImportFiles(Stage* stage, Readers* readers);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_IMPORT_STEP_H_
