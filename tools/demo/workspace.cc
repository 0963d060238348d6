#include "tools/demo/workspace.h"

#include <sys/statvfs.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/cli/system_error.h"
#include "tools/cli/units.h"

namespace larder::demo {
namespace {

absl::StatusOr<std::string> MakeTemporary() {
  std::error_code error;
  const std::filesystem::path parent =
      std::filesystem::temp_directory_path(error);
  if (error) return cli::SystemError(error.value(), "temporary directory");
  std::string path = parent / "larder-demo-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return cli::SystemError(errno, path);
  return path;
}

}  // namespace

absl::StatusOr<std::string> MakeWorkDirectory(const std::string& work) {
  if (work.empty()) return MakeTemporary();
  std::error_code error;
  std::filesystem::create_directories(work, error);
  if (!error && !std::filesystem::is_empty(work, error) && !error) {
    return absl::AlreadyExistsError(absl::StrCat(work, ": not empty"));
  }
  if (error) return cli::SystemError(error.value(), work);
  return work;
}

absl::Status CheckFreeSpace(const std::string& directory, int64_t bytes) {
  struct statvfs info = {};
  if (statvfs(directory.c_str(), &info) != 0) {
    return cli::SystemError(errno, directory);
  }
  const auto free_bytes =
      static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (free_bytes >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      directory, ": ", cli::FormatBytes(free_bytes), " free, ",
      cli::FormatBytes(bytes), " needed; --work names another place"));
}

}  // namespace larder::demo
