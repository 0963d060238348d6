// `larder replica` as a process.
#ifndef LARDER_TESTS_CLI_REPLICA_PROGRAM_H_
#define LARDER_TESTS_CLI_REPLICA_PROGRAM_H_

#include <memory>
#include <string>
#include <vector>

#include "tests/cli/program.h"

namespace larder::tests {

// Once it listens. Fails the test when it does not. Single-owner.
class ReplicaProgram {
 public:
  // `kind`: --archive or --l2, of the directory `place`. `listen`: HOST:PORT;
  // port 0: any.
  ReplicaProgram(const std::string& place, const std::string& listen,
                 const std::vector<std::string>& more = {},
                 const std::string& kind = "--archive");

  // Where it listens.
  const std::string& address() const { return address_; }
  // For --to and --from.
  std::string place() const { return "grpc://" + address_; }
  ProgramEnd End(int signal) {
    program_->Signal(signal);
    return program_->Wait();
  }

 private:
  std::unique_ptr<Program> program_;
  std::string address_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CLI_REPLICA_PROGRAM_H_
