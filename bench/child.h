// Runs this program again, as a process of its own: what has to be killed, to
// be measured in a fresh memory, or to be left out of what is measured, is.
#ifndef LARDER_BENCH_CHILD_H_
#define LARDER_BENCH_CHILD_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::bench {

// Returns: the status of waitpid(2), once the child has ended.
// Errors: when it cannot be started.
absl::StatusOr<int> RunAgain(std::vector<std::string> arguments);

// A child that serves for as long as this object lives. Single-owner.
class ServingChild {
 public:
  // Waits for the first line that it prints.
  // Errors: when it cannot be started, or prints none.
  static absl::StatusOr<std::unique_ptr<ServingChild>> Start(
      std::vector<std::string> arguments);
  // Closes its standard input, and waits until it has ended.
  ~ServingChild();
  ServingChild(const ServingChild&) = delete;
  ServingChild& operator=(const ServingChild&) = delete;

  const std::string& line() const { return line_; }
  pid_t pid() const { return pid_; }

 private:
  ServingChild(pid_t pid, int input, std::string line)
      : pid_(pid), input_(input), line_(std::move(line)) {}

  const pid_t pid_;
  const int input_;
  const std::string line_;  // Without its end.
};

// In the child: says `line` to who started it, and waits until that one is
// done with it, or dead.
void ServeUntilDone(const std::string& line);

}  // namespace larder::bench

#endif  // LARDER_BENCH_CHILD_H_
