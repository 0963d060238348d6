#include "replication/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cache/check.h"

namespace larder::replication {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// All of it. False: the other side is gone.
bool WriteAll(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

TcpProxy::TcpProxy(uint16_t target_port, std::function<int64_t()> cut_after)
    : cut_after_(std::move(cut_after)), target_port_(target_port) {
  LARDER_CHECK(::pipe(wake_) == 0);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  LARDER_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) ==
               0);
  LARDER_CHECK(::listen(listener_, 16) == 0);
  LARDER_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address),
                             &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

TcpProxy::~TcpProxy() {
  LARDER_CHECK(::write(wake_[1], "x", 1) == 1);
  thread_.join();
  for (int fd : {listener_, wake_[0], wake_[1]}) ::close(fd);
}

void TcpProxy::Serve() {
  while (true) {
    pollfd waits[] = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    ::poll(waits, 2, -1);
    if (waits[0].revents != 0) return;
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) continue;
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(target_port_);
    if (::connect(server, reinterpret_cast<sockaddr*>(&address),
                  sizeof address) == 0) {
      // As both ends do: what is small does not wait for an acknowledgement.
      const int now = 1;
      for (int fd : {client, server}) {
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
      }
      Relay(client, server);
    }
    // A reset, not an orderly end: as a cut is.
    const linger hard = {1, 0};
    for (int fd : {client, server}) {
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      ::close(fd);
    }
  }
}

void TcpProxy::Relay(int client, int server) {
  int64_t left = cut_after_();
  const bool cuts = left >= 0;
  char bytes[16 << 10];
  while (true) {
    pollfd waits[] = {
        {wake_[0], POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}};
    ::poll(waits, 3, -1);
    if (waits[0].revents != 0) return;
    if (waits[2].revents != 0) {
      const ssize_t n = ::read(server, bytes, sizeof bytes);
      if (n <= 0 || !WriteAll(client, bytes, static_cast<size_t>(n))) return;
    }
    if (waits[1].revents != 0) {
      const ssize_t n = ::read(client, bytes, sizeof bytes);
      if (n <= 0) return;
      const int64_t passed = cuts ? std::min<int64_t>(n, left) : n;
      bytes_from_client_ += passed;
      if (!WriteAll(server, bytes, static_cast<size_t>(passed))) return;
      left -= passed;
      if (cuts && left == 0) {
        ++cuts_;
        return;
      }
    }
  }
}

}  // namespace larder::replication
