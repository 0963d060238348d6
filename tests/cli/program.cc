#include "tests/cli/program.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;

// Where the tests find the program: a path in Bazel's runfiles.
constexpr char kLarder[] = "tools/larder";

std::string UniqueDirectory() {
  static std::atomic<int> number{0};
  const std::string path =
      absl::StrCat(testing::TempDir(), "/program-", getpid(), "-", number++);
  fs::create_directories(path);
  return path;
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments,
                 const std::string& input)
    : directory_(UniqueDirectory()) {
  WriteFile(directory_ + "/in", input);
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string files[] = {directory_ + "/in", directory_ + "/out",
                               directory_ + "/err"};
  for (int fd = 0; fd < 3; ++fd) {
    const int flags = fd == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, fd, files[fd].c_str(), flags,
                                     0600);
  }
  const int error =
      posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    ADD_FAILURE() << arguments[0] << ": error " << error;
    ended_ = true;
  }
}

Program::~Program() {
  if (!ended_) {
    Signal(SIGKILL);
    Wait();
  }
  fs::remove_all(directory_);
}

void Program::Signal(int signal) {
  if (!ended_) kill(pid_, signal);
}

bool Program::Ended() {
  if (!ended_) ended_ = waitpid(pid_, &wait_status_, WNOHANG) == pid_;
  return ended_;
}

std::string Program::Errors() const { return ReadFile(directory_ + "/err"); }

ProgramEnd Program::Wait() {
  while (!ended_) {
    ended_ = waitpid(pid_, &wait_status_, 0) == pid_;
    if (!ended_ && errno != EINTR) break;
  }
  ProgramEnd end;
  if (WIFEXITED(wait_status_)) end.exit_code = WEXITSTATUS(wait_status_);
  if (WIFSIGNALED(wait_status_)) end.signal = WTERMSIG(wait_status_);
  end.out = ReadFile(directory_ + "/out");
  end.err = ReadFile(directory_ + "/err");
  return end;
}

std::string LarderPath() { return kLarder; }

ProgramEnd Larder(const std::vector<std::string>& arguments,
                  const std::string& input) {
  std::vector<std::string> all = {kLarder};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Program(all, input).Wait();
}

Report LastJson(const std::string& out) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripSuffix(out, "\n"), '\n');
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  Report report;
  const auto status = google::protobuf::util::JsonStringToMessage(
      std::string(lines.back()), &report, options);
  EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << out;
  return report;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteFile(const std::string& path, const std::string& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  out.close();
  EXPECT_TRUE(out) << path;
}

std::string FreshDirectory() { return UniqueDirectory(); }

std::string RandomBytes(size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

void FlipByte(const std::string& path, size_t offset) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(offset));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(~byte));
  file.close();
  EXPECT_TRUE(file) << path;
}

}  // namespace larder::tests
