// Runs a program as a user's shell would, and keeps what it said.
#ifndef LARDER_TESTS_CLI_PROGRAM_H_
#define LARDER_TESTS_CLI_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/cli/report.pb.h"

namespace larder::tests {

struct ProgramEnd {
  int exit_code = -1;  // -1: killed by `signal`.
  int signal = 0;
  std::string out;
  std::string err;
};

// A program that runs. Single-owner; fails the test when it cannot start.
class Program {
 public:
  // `arguments[0]` is the file to execute. Its stdin holds `input` and ends.
  explicit Program(const std::vector<std::string>& arguments,
                   const std::string& input = "");
  ~Program();  // Kills it if nobody waited.
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Signal(int signal);
  // Whether it has ended; does not wait.
  bool Ended();
  ProgramEnd Wait();
  // What it has written to stderr so far.
  std::string Errors() const;

 private:
  pid_t pid_ = -1;
  int wait_status_ = 0;
  bool ended_ = false;
  std::string directory_;  // Holds what goes in and comes out.
};

// The file that `larder` is.
std::string LarderPath();
// `larder` with `arguments`, to its end.
ProgramEnd Larder(const std::vector<std::string>& arguments,
                  const std::string& input = "");

// The object on the last line of `out`. Fails the test when there is none.
Report LastJson(const std::string& out);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& bytes);
// An empty directory of this test's own.
std::string FreshDirectory();
// Bytes that do not compress.
std::string RandomBytes(size_t size, unsigned seed);
// Inverts one byte of a file.
void FlipByte(const std::string& path, size_t offset);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CLI_PROGRAM_H_
