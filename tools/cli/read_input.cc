#include "tools/cli/read_input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/system_error.h"

namespace larder::cli {
namespace {

// Small enough that Ctrl-C is noticed at once.
constexpr int64_t kReadBytes = int64_t{1} << 20;

}  // namespace

absl::Status ReadInput(int fd, int64_t bytes_hint, int64_t bytes_max,
                       std::string* bytes) {
  bytes->clear();
  const absl::Status too_large = absl::ResourceExhaustedError(
      absl::StrCat("larger than ", bytes_max, " bytes"));
  if (bytes_hint > bytes_max) return too_large;
  int64_t used = 0;
  while (!Interrupted()) {
    // One byte more than expected, so that the end shows without growing.
    const int64_t wanted =
        std::clamp(bytes_hint + 1 - used, int64_t{4096}, kReadBytes);
    bytes->resize(static_cast<size_t>(used + wanted));
    const ssize_t got =
        read(fd, bytes->data() + used, static_cast<size_t>(wanted));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(errno, "cannot read");
    used += got;
    if (used > bytes_max) return too_large;
    if (got == 0) {
      bytes->resize(static_cast<size_t>(used));
      return absl::OkStatus();
    }
  }
  return InterruptedError();
}

}  // namespace larder::cli
