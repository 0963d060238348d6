// Ctrl-C as a flag that long steps look at.
#ifndef LARDER_TOOLS_CLI_INTERRUPT_H_
#define LARDER_TOOLS_CLI_INTERRUPT_H_

#include "absl/status/status.h"
#include "backup/cancellation.h"

namespace larder::cli {

// While one lives, the first SIGINT or SIGTERM sets the flag; a second one
// ends the process as usual. At most one lives at a time.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

// Thread-safe. Stays set once set.
bool Interrupted();
// The flag itself, for backup, restore and verify.
const backup::Cancellation* InterruptFlag();
// What a step returns that stopped because of it: kCancelled.
absl::Status InterruptedError();

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_INTERRUPT_H_
