#include "tools/cli/write_all.h"

#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "tools/cli/system_error.h"

namespace larder::cli {

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(errno, "cannot write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace larder::cli
