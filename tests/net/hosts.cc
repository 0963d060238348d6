#include "tests/net/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/check.h"

namespace larder::tests {
namespace {

constexpr char kThisNamespace[] = "/proc/thread-self/ns/net";
constexpr char kInterface[] = "wire";

absl::Status Forbidden(absl::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat("hosts: ", what, ": ", std::strerror(errno)));
}

bool WriteAll(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

ifreq Request(const char* interface) {
  ifreq request = {};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  return request;
}

absl::Status SetAddress(int socket, unsigned long what,
                        const std::string& address) {
  ifreq request = Request(kInterface);
  auto* const in = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  in->sin_family = AF_INET;
  LARDER_CHECK(inet_pton(AF_INET, address.c_str(), &in->sin_addr) == 1);
  return ioctl(socket, what, &request) == 0 ? absl::OkStatus()
                                            : Forbidden(address);
}

absl::Status SetUp(int socket, const char* interface) {
  ifreq request = Request(interface);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(socket, SIOCSIFFLAGS, &request) == 0 ? absl::OkStatus()
                                                    : Forbidden(interface);
}

// Of the namespace that this thread is in.
absl::Status Configure(const std::string& address) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return Forbidden("socket");
  absl::Status status = SetUp(socket, "lo");
  status.Update(SetAddress(socket, SIOCSIFADDR, address));
  status.Update(SetAddress(socket, SIOCSIFNETMASK, "255.255.255.0"));
  status.Update(SetUp(socket, kInterface));
  close(socket);
  return status;
}

}  // namespace

absl::Status EnterOwnUserNamespace() {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  if (unshare(CLONE_NEWUSER) != 0) return Forbidden("user namespace");
  if (!WriteAll("/proc/self/setgroups", "deny") ||
      !WriteAll("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")) ||
      !WriteAll("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1"))) {
    return Forbidden("map of users");
  }
  return absl::OkStatus();
}

absl::StatusOr<Host> Host::Create(const std::string& address) {
  const int before = open(kThisNamespace, O_RDONLY | O_CLOEXEC);
  LARDER_CHECK(before >= 0);
  if (unshare(CLONE_NEWNET) != 0) {
    const absl::Status status = Forbidden("network namespace");
    close(before);
    return status;
  }
  Host host(address, open(kThisNamespace, O_RDONLY | O_CLOEXEC),
            open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  ifreq request = Request(kInterface);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  absl::Status status;
  if (host.tun_ < 0 || ioctl(host.tun_, TUNSETIFF, &request) != 0) {
    status = Forbidden("/dev/net/tun");
  }
  if (status.ok()) status = Configure(address);
  // A user namespace may not go back to one that is not its own: the next
  // host's is as good.
  if (setns(before, CLONE_NEWNET) != 0) LARDER_CHECK(errno == EPERM);
  close(before);
  if (!status.ok()) return status;
  return host;
}

Host::Host(Host&& other) noexcept
    : address_(std::move(other.address_)),
      namespace_(std::exchange(other.namespace_, -1)),
      tun_(std::exchange(other.tun_, -1)) {}

Host::~Host() {
  for (const int fd : {namespace_, tun_}) {
    if (fd >= 0) close(fd);
  }
}

void Host::Run(absl::FunctionRef<void()> body) const {
  const int before = open(kThisNamespace, O_RDONLY | O_CLOEXEC);
  LARDER_CHECK(before >= 0);
  LARDER_CHECK(setns(namespace_, CLONE_NEWNET) == 0);
  body();
  if (setns(before, CLONE_NEWNET) != 0) LARDER_CHECK(errno == EPERM);
  close(before);
}

}  // namespace larder::tests
