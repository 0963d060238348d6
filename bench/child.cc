#include "bench/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::bench {

namespace {

absl::StatusOr<pid_t> Spawn(std::vector<std::string> arguments,
                            const posix_spawn_file_actions_t* actions) {
  arguments.insert(arguments.begin(), "bench");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", actions, nullptr,
                                argv.data(), environ);
  if (error != 0) return absl::ErrnoToStatus(error, "child");
  return pid;
}

absl::StatusOr<int> Wait(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return absl::ErrnoToStatus(errno, "child");
  }
  return status;
}

// Up to and without the first newline; all, when the other end closes.
std::string ReadLine(int fd) {
  std::string line;
  for (char c; ::read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

absl::StatusOr<int> RunAgain(std::vector<std::string> arguments) {
  LARDER_ASSIGN_OR_RETURN(const pid_t pid,
                          Spawn(std::move(arguments), nullptr));
  return Wait(pid);
}

absl::StatusOr<std::unique_ptr<ServingChild>> ServingChild::Start(
    std::vector<std::string> arguments) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  if (pipe2(out, O_CLOEXEC) != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, "pipe2");
    ::close(in[0]);
    ::close(in[1]);
    return status;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const absl::StatusOr<pid_t> pid = Spawn(std::move(arguments), &actions);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  std::string line = pid.ok() ? ReadLine(out[0]) : std::string();
  ::close(out[0]);
  if (!pid.ok() || line.empty()) {
    ::close(in[1]);
    if (!pid.ok()) return pid.status();
    LARDER_ASSIGN_OR_RETURN(const int status, Wait(*pid));
    return absl::InternalError(
        absl::StrCat("child: ended with status ", status, " before it served"));
  }
  return absl::WrapUnique(new ServingChild(*pid, in[1], std::move(line)));
}

ServingChild::~ServingChild() {
  ::close(input_);
  (void)Wait(pid_);
}

void ServeUntilDone(const std::string& line) {
  std::cout << line << std::endl;
  ReadLine(STDIN_FILENO);
}

}  // namespace larder::bench
