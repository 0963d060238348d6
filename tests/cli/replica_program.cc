#include "tests/cli/replica_program.h"

#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace larder::tests {

ReplicaProgram::ReplicaProgram(const std::string& place,
                               const std::string& listen,
                               const std::vector<std::string>& more,
                               const std::string& kind) {
  constexpr char kListening[] = "listening on ";
  std::vector<std::string> arguments = {LarderPath(), "replica", "--listen",
                                        listen,       kind,      place};
  arguments.insert(arguments.end(), more.begin(), more.end());
  program_ = std::make_unique<Program>(arguments);
  std::string errors;
  while (!absl::StrContains(errors, " for ")) {
    if (program_->Ended()) break;
    std::this_thread::yield();
    errors = program_->Errors();
  }
  const size_t at = errors.find(kListening);
  EXPECT_NE(at, std::string::npos) << program_->Errors();
  if (at == std::string::npos) return;
  address_ = errors.substr(at + sizeof kListening - 1);
  address_ = address_.substr(0, address_.find(' '));
}

}  // namespace larder::tests
