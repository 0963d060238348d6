#include "tools/demo/subprocess.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cache/status_macros.h"
#include "tools/cli/system_error.h"
#include "tools/cli/unique_fd.h"

namespace larder::demo {
namespace {

constexpr char kSelf[] = "/proc/self/exe";

// Starts the program with its stdout going to `stdout_fd`.
absl::StatusOr<pid_t> Spawn(std::vector<std::string> arguments, int stdout_fd) {
  arguments.insert(arguments.begin(), "larder");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, kSelf, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return cli::SystemError(error, "cannot start a process");
  return pid;
}

std::string ReadToEnd(int fd) {
  std::string all;
  char piece[4096];
  for (;;) {
    const ssize_t got = read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return all;
    all.append(piece, static_cast<size_t>(got));
  }
}

}  // namespace

absl::StatusOr<SubprocessEnd> RunSelf(
    const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return cli::SystemError(errno, "pipe");
  const cli::UniqueFd reader(ends[0]);
  cli::UniqueFd writer(ends[1]);
  LARDER_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, writer.get()));
  writer = cli::UniqueFd();
  SubprocessEnd end;
  end.output = ReadToEnd(reader.get());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return cli::SystemError(errno, "waitpid");
  }
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

}  // namespace larder::demo
