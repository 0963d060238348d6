// --key-file: the keys of sealed dumps.
#ifndef LARDER_TOOLS_CLI_KEY_FLAG_H_
#define LARDER_TOOLS_CLI_KEY_FLAG_H_

#include <string>

#include "absl/status/statusor.h"
#include "backup/archive.h"

namespace larder::cli {

// Those in the file `path`; none when that is empty.
// Errors: those of backup::ReadKeyFile(), after "--key-file: ".
absl::StatusOr<backup::Archive::Keys> ReadKeys(const std::string& path);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_KEY_FLAG_H_
