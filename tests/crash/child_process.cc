#include "tests/crash/child_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace larder::tests {

ChildProcess::ChildProcess(std::vector<std::string> arguments) {
  // Before the fork: the child of a process with threads must not allocate.
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  EXPECT_GT(pid_, 0);
  close(ends[1]);
  stdout_ = ends[0];
}

ChildProcess::~ChildProcess() {
  Kill();
  close(stdout_);
}

size_t ChildProcess::Read(int milliseconds, char* bytes, size_t bytes_max) {
  pollfd wait{stdout_, POLLIN, 0};
  int ready;
  do {
    ready = poll(&wait, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  EXPECT_GE(ready, 0);
  if (ready <= 0) return 0;
  const ssize_t n = read(stdout_, bytes, bytes_max);
  EXPECT_GE(n, 0);
  if (n <= 0) {
    ended_ = true;
    return 0;
  }
  return static_cast<size_t>(n);
}

void ChildProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
      << "it ended by itself: " << status;
  pid_ = -1;
}

}  // namespace larder::tests
