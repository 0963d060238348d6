// larder demo: the main job on real files, start to end.
#ifndef LARDER_TOOLS_DEMO_DEMO_H_
#define LARDER_TOOLS_DEMO_DEMO_H_

#include <string>

#include "tools/cli/console.h"

namespace larder::demo {

struct DemoFlags {
  std::string from;  // Empty: directories that a Debian system has.
  std::string work;  // Empty: a temporary directory.
};

// Import, storm, backup, flush, crash, restore, comparison, verification.
// Anything that is not as it must be is a failure, printed when it is found,
// and ends in kExitIntegrity.
// Removes its temporary directory unless something failed.
cli::CommandResult RunDemo(const DemoFlags& flags, cli::Console* console);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_DEMO_H_
