#include "bench/l2/peers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/data.h"
#include "bench/stores/larder.h"
#include "bench/stores/lmdb.h"
#include "bench/stores/raw.h"
#include "bench/stores/redis.h"
#include "bench/stores/rocksdb.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

using StoreOr = absl::StatusOr<std::unique_ptr<Store>>;

StoreOr OpenLarder(const std::string& dir, int64_t bytes_max) {
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<LarderStore> store,
                          LarderStore::Open(L2Options(dir, bytes_max)));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace

std::vector<Peer> AllPeers(const Setting& setting, int64_t payload_bytes) {
  // Nothing is evicted or refused: this is about speed.
  const int64_t room = 4 * payload_bytes + 512 * kMiB;
  std::vector<Peer> all = {
      {"larder",
       [room](const std::string& dir) { return OpenLarder(dir, room); }},
      {"lmdb",
       [room](const std::string& dir) {
         return OpenLmdb({.dir = dir, .bytes_max = room});
       }},
      {"rocksdb",
       [](const std::string& dir) { return OpenRocksDb({.dir = dir}); }},
      {"rocksdb blobdb",
       [](const std::string& dir) {
         return OpenRocksDb({.dir = dir, .blobs = true});
       }},
      {"redis", [](const std::string& dir) { return OpenRedis(dir); }},
      {"raw", [](const std::string& dir) { return OpenRaw(dir); }},
  };
  std::erase_if(all, [&](const Peer& p) { return !setting.Runs(p.name); });
  return all;
}

absl::StatusOr<Stores> OpenAll(const std::vector<Peer>& peers,
                               const std::string& dir) {
  Stores stores;
  for (const Peer& peer : peers) {
    LARDER_ASSIGN_OR_RETURN(std::unique_ptr<Store> store,
                            peer.open(absl::StrCat(dir, "/", peer.name)));
    Store* const opened = store.get();
    stores.push_back(std::move(store));
    if (peer.name == "lmdb") stores.push_back(ZeroCopyLmdb(opened));
  }
  return stores;
}

absl::Status FillAll(const Stores& stores, int64_t count,
                     absl::FunctionRef<absl::string_view(int64_t)> value_of) {
  for (int64_t i = 0; i < count; ++i) {
    const std::string key = KeyOf(i);
    const absl::string_view value = value_of(i);
    for (const std::unique_ptr<Store>& store : stores) {
      LARDER_RETURN_IF_ERROR(store->Put(key, value));
    }
  }
  for (const std::unique_ptr<Store>& store : stores) {
    LARDER_RETURN_IF_ERROR(store->Settle());
  }
  return absl::OkStatus();
}

}  // namespace larder::bench
