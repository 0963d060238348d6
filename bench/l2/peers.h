// Larder and its peers, opened side by side.
#ifndef LARDER_BENCH_L2_PEERS_H_
#define LARDER_BENCH_L2_PEERS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bench/setting.h"
#include "bench/store.h"

namespace larder::bench {

// A store that can be opened.
struct Peer {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Store>>(const std::string& dir)>
      open;  // `dir` is empty or absent.
};

// Those of Larder, LMDB, both RocksDBs, Redis and raw that run, each with room
// for `payload_bytes`.
std::vector<Peer> AllPeers(const Setting& setting, int64_t payload_bytes);

// Opens all in folders of `dir`. LMDB comes twice: copied out, and zero-copy.
absl::StatusOr<Stores> OpenAll(const std::vector<Peer>& peers,
                               const std::string& dir);

// Puts `count` values into each store, and lets it settle.
absl::Status FillAll(const Stores& stores, int64_t count,
                     absl::FunctionRef<absl::string_view(int64_t)> value_of);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_PEERS_H_
