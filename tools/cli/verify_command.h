// larder verify: reads everything in an L2, or in an archive, and says whether
// it is sound.
#ifndef LARDER_TOOLS_CLI_VERIFY_COMMAND_H_
#define LARDER_TOOLS_CLI_VERIFY_COMMAND_H_

#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

// Exactly one of `cache.l2` and `directory` is set.
struct VerifyFlags {
  CacheFlags cache;
  std::string directory;  // An archive.
  std::string snapshot;   // Of the archive; empty: all.
  bool repair = false;    // Of `cache`.
};

// Damage is kExitIntegrity, each piece reported. Orphans are not damage. With
// `repair`, each blob that it dropped is reported instead, and kExitPartial.
CommandResult RunVerify(const VerifyFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_VERIFY_COMMAND_H_
