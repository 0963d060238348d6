#include "tests/net/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "cache/check.h"

namespace larder::tests {
namespace {

using cache::MutexLock;

constexpr size_t kPacketBytesMax = 64 << 10;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// A router's queue: what is sent faster than the wire takes it is lost.
constexpr size_t kOnWayMax = 1000;

int64_t NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Both ports of a TCP packet over IPv4, the lower one first.
std::optional<uint32_t> PortsOf(absl::string_view packet) {
  const auto byte = [&](size_t i) -> uint32_t {
    return static_cast<uint8_t>(packet[i]);
  };
  constexpr uint32_t kTcp = 6;
  if (packet.size() < 24 || byte(0) >> 4 != 4 || byte(9) != kTcp) return {};
  const size_t tcp = (byte(0) & 15) * 4;
  if (packet.size() < tcp + 4) return {};
  const uint32_t a = byte(tcp) << 8 | byte(tcp + 1);
  const uint32_t b = byte(tcp + 2) << 8 | byte(tcp + 3);
  return std::min(a, b) << 16 | std::max(a, b);
}

}  // namespace

Wire::Wire(int first, int second, uint64_t seed)
    : ways_{Way{.from = first, .to = second}, Way{.from = second, .to = first}},
      random_(seed) {
  LARDER_CHECK(pipe2(wake_, O_CLOEXEC) == 0);
  thread_ = std::thread([this] { Carry(); });
}

Wire::~Wire() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
}

void Wire::SetFaults(const WireFaults& faults) {
  MutexLock lock(&mu_);
  faults_ = faults;
}

void Wire::Cut(Direction direction) {
  MutexLock lock(&mu_);
  ways_[direction].is_cut = true;
  ways_[direction].on_way.clear();
}

void Wire::Mend() {
  MutexLock lock(&mu_);
  for (Way& way : ways_) way.is_cut = false;
}

void Wire::SilenceConnections() {
  MutexLock lock(&mu_);
  for (auto& [ports, is_silent] : connections_) is_silent = true;
  for (Way& way : ways_) way.on_way.clear();
}

bool Wire::AwaitBytes(Direction direction, int64_t bytes, int64_t ms_max) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(ms_max);
  MutexLock lock(&mu_);
  while (ways_[direction].counts.bytes < bytes) {
    if (moved_.wait_until(mu_, until) == std::cv_status::timeout) return false;
  }
  return true;
}

Wire::Counts Wire::counts(Direction direction) {
  MutexLock lock(&mu_);
  return ways_[direction].counts;
}

bool Wire::Happens(double share) {
  return static_cast<double>(random_() >> 11) * 0x1p-53 < share;
}

void Wire::Take(Way* way, absl::string_view packet, int64_t now_us) {
  ++way->counts.packets;
  way->counts.bytes += static_cast<int64_t>(packet.size());
  bool is_silent = false;
  if (const auto ports = PortsOf(packet); ports.has_value()) {
    is_silent = connections_[*ports];
  }
  if (way->is_cut || is_silent || Happens(faults_.drop) ||
      way->on_way.size() >= kOnWayMax) {
    ++way->counts.lost;
    return;
  }
  if (faults_.bytes_per_second_max > 0) {
    way->free_us = std::max(way->free_us, now_us) +
                   static_cast<int64_t>(packet.size()) * 1'000'000 /
                       faults_.bytes_per_second_max;
  }
  for (int copies = Happens(faults_.duplicate) ? 2 : 1; copies > 0; --copies) {
    const int64_t spread = faults_.delay_us_max - faults_.delay_us_min;
    const int64_t delay =
        faults_.delay_us_min +
        static_cast<int64_t>(random_() % static_cast<uint64_t>(spread + 1));
    way->on_way.emplace(std::max(way->free_us, now_us) + delay, packet);
  }
}

void Wire::TakeAll(Way* way, int64_t now_us) {
  char packet[kPacketBytesMax];
  for (;;) {
    const ssize_t n = read(way->from, packet, sizeof(packet));
    if (n <= 0) break;
    Take(way, {packet, static_cast<size_t>(n)}, now_us);
  }
  moved_.notify_all();
}

int64_t Wire::Deliver(Way* way, int64_t now_us) {
  while (!way->on_way.empty() && way->on_way.begin()->first <= now_us) {
    const std::string& packet = way->on_way.begin()->second;
    // One that the host has no room for is lost, as with any network card.
    if (write(way->to, packet.data(), packet.size()) < 0) ++way->counts.lost;
    way->on_way.erase(way->on_way.begin());
  }
  return way->on_way.empty() ? kNever : way->on_way.begin()->first;
}

void Wire::Carry() {
  int64_t next_us = kNever;
  for (;;) {
    pollfd waits[3] = {{wake_[0], POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
    {
      MutexLock lock(&mu_);
      for (const size_t i : {kForth, kBack}) waits[1 + i].fd = ways_[i].from;
    }
    const int64_t wait_us = next_us - NowMicros();
    timespec timeout = {wait_us / 1'000'000, wait_us % 1'000'000 * 1000};
    if (wait_us < 0) timeout = {0, 0};
    ppoll(waits, 3, next_us == kNever ? nullptr : &timeout, nullptr);
    if (waits[0].revents != 0) return;
    MutexLock lock(&mu_);
    const int64_t now_us = NowMicros();
    next_us = kNever;
    for (Way& way : ways_) {
      TakeAll(&way, now_us);
      next_us = std::min(next_us, Deliver(&way, now_us));
    }
  }
}

}  // namespace larder::tests
