// A process that reports what it has done, until it is killed.
#ifndef LARDER_TESTS_CRASH_CHILD_PROCESS_H_
#define LARDER_TESTS_CRASH_CHILD_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace larder::tests {

// Single-owner; fails the test when it cannot start.
class ChildProcess {
 public:
  // `arguments[0]`: the file to execute, from Bazel's runfiles.
  explicit ChildProcess(std::vector<std::string> arguments);
  ~ChildProcess();  // Kills it if nobody did.
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Waits until there is something on its stdout, or for so long (below 0:
  // without end), and takes at most `bytes_max` of it.
  // Returns: how many bytes; 0: none in time, or it has ended.
  size_t Read(int milliseconds, char* bytes, size_t bytes_max);
  // Whether Read() came to the end of its stdout.
  bool ended() const { return ended_; }

  // kill -9. What it has written can still be read. Fails the test when it has
  // ended by itself. Idempotent.
  void Kill();

 private:
  pid_t pid_ = -1;  // -1: nobody is there to be killed.
  int stdout_ = -1;
  bool ended_ = false;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_CHILD_PROCESS_H_
