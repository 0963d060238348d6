#include "tools/cli/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cache/check.h"

namespace larder::cli {

void FillStandardDescriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number: this one. The wrong way round, for it to fail.
    const int filled =
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    LARDER_CHECK(filled == fd);
  }
}

}  // namespace larder::cli
