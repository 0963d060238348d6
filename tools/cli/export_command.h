// larder export: the blobs of a namespace become files.
#ifndef LARDER_TOOLS_CLI_EXPORT_COMMAND_H_
#define LARDER_TOOLS_CLI_EXPORT_COMMAND_H_

#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct ExportFlags {
  CacheFlags cache;
  std::string ns;
  std::string out;  // A directory, absent or empty unless `overwrite`.
  bool overwrite = false;
};

// Writes each valid blob to the file that its key names below `out`. A key
// that is no such name, or a blob that is damaged, is a failure and does not
// stop the rest. Memory: a few MiB.
CommandResult RunExport(const ExportFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_EXPORT_COMMAND_H_
