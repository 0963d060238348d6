#include "bench/l2/reopen.h"

#include <signal.h>
#include <sys/wait.h>

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

absl::Status Fill(const Peer& peer, const std::string& dir, int64_t records) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, peer.open(dir));
  return FillStore(store.get(), records, RandomValues(kRecordBytes));
}

absl::Status Kill(const std::string& dir) {
  LARDER_ASSIGN_OR_RETURN(const int status,
                          RunAgain({"--child=killed", "--dir", dir}));
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    return absl::OkStatus();
  }
  return absl::InternalError("the child was not killed");
}

}  // namespace

absl::StatusOr<Rows> Reopen(const Setting& setting) {
  const int64_t records = setting.Scaled(1'000'000, 1000);
  const int64_t tenth = records / 10;
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "reopen"));
  std::vector<Peer> peers;
  for (Peer& peer : AllPeers(setting, 1024 * kMiB)) {
    if (peer.name == "lmdb" || peer.name == "rocksdb") {
      peers.push_back(std::move(peer));
    }
  }
  const Peer larder = {"larder", [](const std::string& dir) {
                         return LarderStore::Open(L2Options(dir, kBudget));
                       }};
  peers.push_back(larder);
  for (const Peer& peer : peers) {
    LARDER_RETURN_IF_ERROR(Fill(peer, scratch.Sub(peer.name), records));
  }
  const std::string small = scratch.Sub("small");
  LARDER_RETURN_IF_ERROR(Fill(larder, small, tenth));

  Samples clean;
  Samples killed;
  for (int round = 0; round <= setting.rounds; ++round) {
    const int64_t record = (round + 1) * 7919 % tenth;
    for (const Peer& peer : peers) {
      LARDER_ASSIGN_OR_RETURN(const double millis,
                              TimeOpen(peer, scratch.Sub(peer.name), record));
      if (round > 0) clean.Add(peer.name, millis);
    }
    LARDER_ASSIGN_OR_RETURN(const double small_clean,
                            TimeOpen(larder, small, record));
    LARDER_RETURN_IF_ERROR(Kill(scratch.Sub("larder")));
    LARDER_ASSIGN_OR_RETURN(const double big_killed,
                            TimeOpen(larder, scratch.Sub("larder"), record));
    LARDER_RETURN_IF_ERROR(Kill(small));
    LARDER_ASSIGN_OR_RETURN(const double small_killed,
                            TimeOpen(larder, small, record));
    // What the child left is settled by now.
    if (round == 0) continue;
    clean.Add("larder, a tenth of it", small_clean);
    killed.Add("larder", big_killed);
    killed.Add("larder, a tenth of it", small_killed);
  }
  // "Flat": ten times the records may cost twice the time.
  const auto row = [](const char* work, const Samples& samples,
                      double millis_max) {
    Row r{work, "ms", samples.Median("larder"), samples.Others("larder"), {}};
    r.bar = {AtMost("ms", r.larder, millis_max),
             AtMost("all / a tenth of the records",
                    r.larder / samples.Median("larder, a tenth of it"), 2)};
    return r;
  };
  return Rows{row("reopen and first hit, clean close", clean, 10),
              row("reopen and first hit, after kill -9", killed, 500)};
}

int RunKilledChild(const std::string& dir) {
  const absl::StatusOr<std::unique_ptr<LarderStore>> store =
      LarderStore::Open(L2Options(dir, kBudget));
  if (!store.ok()) return 1;
  const RandomValues values(kRecordBytes);
  for (int64_t i = 0; i < kLostPuts; ++i) {
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
