// Owns a file descriptor.
#ifndef LARDER_TOOLS_CLI_UNIQUE_FD_H_
#define LARDER_TOOLS_CLI_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace larder::cli {

// Move-only; closes when destroyed. Thread-compatible.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~UniqueFd() { Close(); }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  int fd_ = -1;
};

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_UNIQUE_FD_H_
