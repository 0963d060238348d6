// larder verify: reads everything in an L2, or in an archive, and says whether
// it is sound. Of an archive, it can read less.
#ifndef LARDER_TOOLS_CLI_VERIFY_COMMAND_H_
#define LARDER_TOOLS_CLI_VERIFY_COMMAND_H_

#include <cstdint>
#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

// Exactly one of `cache.l2` and `directory` is set.
struct VerifyFlags {
  CacheFlags cache;
  std::string directory;  // An archive.
  std::string snapshot;   // Of the archive; empty: all.
  // Of the archive; at most one of the next three; none: `full`.
  bool quick = false;
  uint32_t sample_millionths = 0;  // 0: not asked for.
  bool full = false;
  int64_t seed = 0;     // Of the sample; 0: any.
  bool repair = false;  // Of `cache`.
};

// Verdicts on snapshots are stored in the archive, where it can be written.
// Damage is kExitIntegrity, each piece reported. Orphans are not damage. A
// sealed snapshot that no key opens is not, either: told, and kExitPartial when
// there are other keys. With `repair`, each blob that it dropped is reported
// instead, and kExitPartial.
CommandResult RunVerify(const VerifyFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_VERIFY_COMMAND_H_
