// A TCP connection in the middle that can be cut after any byte, for tests.
#ifndef LARDER_REPLICATION_TCP_PROXY_H_
#define LARDER_REPLICATION_TCP_PROXY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace larder::replication {

// Listens on a port of 127.0.0.1 and passes bytes on to another. Serves one
// connection at a time; its methods are thread-safe.
class TcpProxy {
 public:
  // `cut_after` is asked for each connection: after how many bytes from the
  // client it ends; -1: never.
  TcpProxy(uint16_t target_port, std::function<int64_t()> cut_after);
  ~TcpProxy();

  uint16_t port() const { return port_; }
  // Where the next connections go.
  void SetTarget(uint16_t port) { target_port_ = port; }
  int64_t cuts() const { return cuts_; }
  int64_t bytes_from_client() const { return bytes_from_client_; }

 private:
  void Serve();
  void Relay(int client, int server);

  const std::function<int64_t()> cut_after_;
  std::atomic<uint16_t> target_port_;
  std::atomic<int64_t> cuts_ = 0;
  std::atomic<int64_t> bytes_from_client_ = 0;
  int listener_ = -1;
  int wake_[2] = {-1, -1};  // A pipe; readable: end.
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_TCP_PROXY_H_
