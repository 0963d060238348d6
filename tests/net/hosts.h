// Hosts of a network that is this test's alone: network namespaces, each with
// one interface, whose packets the test carries (wire.h).
#ifndef LARDER_TESTS_NET_HOSTS_H_
#define LARDER_TESTS_NET_HOSTS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace larder::tests {

// Makes this process root of a user namespace of its own: what needs no
// permission from without. The process must have one thread.
// Errors: kUnimplemented: the kernel, or a sandbox, forbids it.
absl::Status EnterOwnUserNamespace();

// One host. Requires: EnterOwnUserNamespace(). Single-owner.
class Host {
 public:
  // `address` of a network of 256: "10.77.0.1".
  // Errors: kUnimplemented: the kernel, or a sandbox, forbids it.
  static absl::StatusOr<Host> Create(const std::string& address);
  Host(Host&& other) noexcept;
  Host& operator=(Host&&) = delete;
  ~Host();

  // Runs `body` with this thread on the host; so is every process that it
  // starts, for good.
  void Run(absl::FunctionRef<void()> body) const;

  // Each read() is a packet that the host has sent, each write() one that it
  // gets.
  int wire_fd() const { return tun_; }
  const std::string& address() const { return address_; }

 private:
  Host(std::string address, int net_namespace, int tun)
      : address_(std::move(address)), namespace_(net_namespace), tun_(tun) {}

  std::string address_;
  int namespace_;
  int tun_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_NET_HOSTS_H_
