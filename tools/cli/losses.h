// What damage cost, in words.
#ifndef LARDER_TOOLS_CLI_LOSSES_H_
#define LARDER_TOOLS_CLI_LOSSES_H_

#include <string>

#include "backup/loss.h"

namespace larder::cli {

// "blob pages index.html", "file etc/motd", "12 blobs whose names are lost".
std::string LossName(const backup::Loss& loss);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LOSSES_H_
