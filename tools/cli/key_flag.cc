#include "tools/cli/key_flag.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/key_file.h"

namespace larder::cli {

absl::StatusOr<backup::Archive::Keys> ReadKeys(const std::string& path) {
  if (path.empty()) return backup::Archive::Keys();
  absl::StatusOr<backup::Archive::Keys> keys = backup::ReadKeyFile(path);
  if (keys.ok()) return keys;
  return absl::Status(keys.status().code(),
                      absl::StrCat("--key-file: ", keys.status().message()));
}

}  // namespace larder::cli
