#include "tests/support/forked.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "cache/check.h"

namespace larder::tests {
namespace {

// Returns: false when nothing came for `silence_ms_max`.
bool ReadAll(int pipe, int silence_ms_max, std::string* out) {
  char buffer[4096];
  for (;;) {
    pollfd wait{pipe, POLLIN, 0};
    const int ready = poll(&wait, 1, silence_ms_max);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t n = read(pipe, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    // The rest is read, so that its writer does not wait, and forgotten.
    out->append(buffer, std::min(static_cast<size_t>(n),
                                 ForkedRun::kOutputBytesMax - out->size()));
  }
}

}  // namespace

ForkedRun RunForked(absl::FunctionRef<bool()> body, int silence_ms_max) {
  int ends[2];
  LARDER_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  // What is buffered would be written twice.
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t child = fork();
  LARDER_CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    // LeakSanitizer looks when a process exits, and not at _exit().
    std::exit(body() ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  close(ends[1]);
  ForkedRun run;
  const bool ended = ReadAll(ends[0], silence_ms_max, &run.output);
  close(ends[0]);
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) LARDER_CHECK(errno == EINTR);
  run.passed = ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  run.end = !ended ? absl::StrCat("nothing for ", silence_ms_max, " ms")
            : WIFSIGNALED(status)
                ? absl::StrCat("signal ", WTERMSIG(status))
                : absl::StrCat("exit code ", WEXITSTATUS(status));
  return run;
}

}  // namespace larder::tests
