#include "bench/l2/reopen.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/child.h"
#include "bench/data.h"
#include "bench/fill.h"
#include "bench/l2/peers.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "bench/stores/larder.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

// What the child leaves unsettled: puts that no commit holds, and
// invalidations in the journal.
constexpr int64_t kLostPuts = 20'000;
constexpr int64_t kLostPutsOf16KiB = 5'000;
constexpr int64_t kLateInvalidations = 100;

// All of one size, so that directories of the child and ours agree.
constexpr int64_t kBudget = 16384 * kMiB;

// Milliseconds from nothing to the first value in hand. Closing is not timed.
absl::StatusOr<double> TimeOpen(const Peer& peer, const std::string& dir,
                                int64_t record) {
  const std::string key = KeyOf(record);
  uint64_t used = 0;
  const Stopwatch watch;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, peer.open(dir));
  const bool found = store->Get(key, [&](absl::string_view b) {
    used += static_cast<unsigned char>(b[0]) + b.size();
  });
  const double millis = watch.millis();
  if (found && used > 0) return millis;
  return absl::DataLossError(absl::StrCat(peer.name, ": no first hit"));
}

constexpr char kChild[] = "killed";
constexpr char kChildOf16KiB[] = "killed, 16 KiB";

absl::Status Kill(const char* child, const std::string& dir) {
  LARDER_ASSIGN_OR_RETURN(
      const int status,
      RunAgain({absl::StrCat("--child=", child), "--dir", dir}));
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    return absl::OkStatus();
  }
  return absl::InternalError("the child was not killed");
}

constexpr char kTenth[] = "larder, a tenth of it";

// A plain value.
struct Shape {
  const char* what;  // Behind the names of its rows.
  int64_t records;
  int64_t blob_bytes;
  const char* child;
};

struct Millis {
  Samples clean;
  Samples killed;
};

absl::Status FillPeers(const std::vector<Peer>& peers, const Scratch& scratch,
                       const Shape& shape) {
  const RandomValues values(shape.blob_bytes);
  for (const Peer& peer : peers) {
    const int64_t records =
        peer.name == kTenth ? shape.records / 10 : shape.records;
    LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                            peer.open(scratch.Sub(peer.name)));
    LARDER_RETURN_IF_ERROR(FillStore(store.get(), records, values));
  }
  return absl::OkStatus();
}

// Round 0 warms up. Each time another one is first.
absl::StatusOr<Millis> RunRounds(const Setting& setting,
                                 const std::vector<Peer>& peers,
                                 const Scratch& scratch, const Shape& shape) {
  Millis millis;
  for (int round = 0; round <= setting.rounds; ++round) {
    const int64_t record = (round + 1) * 7919 % (shape.records / 10);
    std::vector<Peer> turns = peers;
    std::rotate(turns.begin(),
                turns.begin() + round % static_cast<int>(turns.size()),
                turns.end());
    for (const Peer& peer : turns) {
      LARDER_ASSIGN_OR_RETURN(const double clean,
                              TimeOpen(peer, scratch.Sub(peer.name), record));
      if (round > 0) millis.clean.Add(peer.name, clean);
    }
    for (const Peer& peer : turns) {
      if (peer.name != "larder" && peer.name != kTenth) continue;
      const std::string dir = scratch.Sub(peer.name);
      LARDER_RETURN_IF_ERROR(Kill(shape.child, dir));
      LARDER_ASSIGN_OR_RETURN(const double killed, TimeOpen(peer, dir, record));
      // What the child left is settled by now.
      if (round > 0) millis.killed.Add(peer.name, killed);
    }
  }
  return millis;
}

// `others`: beside Larder.
absl::StatusOr<Rows> ReopenOf(const Setting& setting, const Shape& shape,
                              std::vector<Peer> others) {
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "reopen"));
  const auto open = [](const std::string& dir) {
    return LarderStore::Open(L2Options(dir, kBudget));
  };
  std::vector<Peer> peers = std::move(others);
  peers.push_back({"larder", open});
  peers.push_back({kTenth, open});
  LARDER_RETURN_IF_ERROR(FillPeers(peers, scratch, shape));
  LARDER_ASSIGN_OR_RETURN(const Millis millis,
                          RunRounds(setting, peers, scratch, shape));
  // "Flat": ten times the records may cost twice the time.
  const auto row = [&](const char* work, const Samples& samples,
                       double millis_max) {
    Row r{absl::StrCat(work, shape.what),
          "ms",
          samples.Median("larder"),
          samples.Others("larder"),
          {}};
    r.bar = {AtMost("ms", r.larder, millis_max),
             AtMost("all / a tenth of the records",
                    r.larder / samples.Median(kTenth), 2)};
    return r;
  };
  return Rows{row("reopen and first hit, clean close", millis.clean, 10),
              row("reopen and first hit, after kill -9", millis.killed, 500)};
}

}  // namespace

absl::StatusOr<Rows> Reopen(const Setting& setting) {
  std::vector<Peer> peers;
  for (Peer& peer : AllPeers(setting, 1024 * kMiB)) {
    if (peer.name == "lmdb" || peer.name == "rocksdb") {
      peers.push_back(std::move(peer));
    }
  }
  LARDER_ASSIGN_OR_RETURN(
      Rows rows,
      ReopenOf(setting,
               {"", setting.Scaled(1'000'000, 1000), kRecordBytes, kChild},
               std::move(peers)));
  // 3.2 GiB; the peers' would be as much again, each.
  LARDER_ASSIGN_OR_RETURN(const Rows of_chains,
                          ReopenOf(setting,
                                   {", 16 KiB", setting.Scaled(200'000, 1000),
                                    16 * kKiB, kChildOf16KiB},
                                   {}));
  rows.insert(rows.end(), of_chains.begin(), of_chains.end());
  return rows;
}

int RunKilledChild(const std::string& child, const std::string& dir) {
  const bool chains = child == kChildOf16KiB;
  if (!chains && child != kChild) return 2;
  const absl::StatusOr<std::unique_ptr<LarderStore>> store =
      LarderStore::Open(L2Options(dir, kBudget));
  if (!store.ok()) return 1;
  const RandomValues values(chains ? 16 * kKiB : kRecordBytes);
  for (int64_t i = 0; i < (chains ? kLostPutsOf16KiB : kLostPuts); ++i) {
    // Half of them replace records.
    const std::string key = i % 2 == 0 ? AbsentKeyOf(i) : KeyOf(i);
    if (!(*store)->Put(key, values.Of(i)).ok()) return 1;
  }
  for (int64_t i = 0; i < kLateInvalidations; ++i) {
    const auto done =
        (*store)->cache()->InvalidateKey(kNamespace, AbsentKeyOf(2 * i));
    if (!done.ok()) return 1;
  }
  raise(SIGKILL);
  return 1;
}

}  // namespace larder::bench
