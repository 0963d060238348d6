// Says what a cache may answer, while it lives, after a crash and after a
// restore, from what it acknowledged.
#ifndef LARDER_TESTS_SUPPORT_ORACLE_H_
#define LARDER_TESTS_SUPPORT_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/hlc.h"
#include "tests/support/history.h"

namespace larder::tests {

// Reports what is wrong through GoogleTest. Single-owner: one thread drives the
// cache and tells the oracle in the same order.
class Oracle {
 public:
  struct Options {
    std::vector<std::string> namespaces;
    std::vector<std::string> keys;  // All that are ever used, in each of them.
    size_t content_bytes_max = 0;   // As for ContentOf().
    bool evicting = false;          // Any blob may go at any time.
  };
  explicit Oracle(Options options) : options_(std::move(options)) {}

  // A mutation returned OK at `now_unix_ms`.
  void Acknowledge(LoggedMutation mutation, int64_t now_unix_ms);
  // A mutation failed, or the process died in it: it may have taken effect.
  void Doubt(LoggedMutation mutation);

  // The blob that the cache must hold, when there is no doubt about it.
  const Expected* Find(const std::string& ns, const std::string& key) const;
  // Whether a snapshot's blob is what the mutations left.
  const Contents& contents() const { return contents_; }

  // Holds the answer of a get, or an answer about presence, against what is
  // allowed. A hit counts as an access.
  void CheckHit(const std::string& ns, const std::string& key,
                const std::optional<cache::Hit>& hit, int64_t now_unix_ms);
  void CheckPresence(const std::string& ns, const std::string& key,
                     cache::Presence presence, int64_t now_unix_ms);
  // Gets every key of every namespace.
  void CheckAll(cache::BlobCache* cache, int64_t now_unix_ms);

  // Holds a cache that was opened again against what was acknowledged before,
  // and takes what it holds as the truth from here on. After kAnything only
  // wrong bytes are wrong, until Forget().
  enum class Loss {
    kNone,         // It was closed, or all that was acknowledged was durable.
    kUncommitted,  // Killed: puts of epochs after `epoch` are lost.
    kUnsynced,     // The power was cut: invalidations after it may be, too.
    kAnything,  // The same at Durability::kNone: only nothing wrong is served.
  };
  // `epoch`: of the newest commit found on the disk. NoteCrash() says so when
  // the next open may die, too: what was lost stays lost.
  void NoteCrash(Loss loss, uint64_t epoch);
  void CheckReopened(cache::BlobCache* cache, Loss loss, uint64_t epoch,
                     int64_t now_unix_ms);
  // The directory was thrown away.
  void Forget();

  // What a backup of now holds, and what it does to older ones. A plain value.
  struct State {
    Contents contents;
    // When a blob was last accessed, at the latest.
    std::map<std::pair<std::string, std::string>, int64_t> touched;
    std::map<std::string, uint64_t> generations;
    // Of all the history of the L2: made and kept, and those of which a crash
    // left it open whether they were. The latter may look newer than they are.
    Invalidations certain, possible;
  };
  // Requires that nothing is in doubt.
  State Save() const;
  // Holds a new L2 against the state that it was restored to: every blob that
  // may be there is there, also when it may be evicted from now on. Goes on
  // with it.
  void CheckRestored(cache::BlobCache* cache, const State& state,
                     int64_t now_unix_ms);

  // Mutations acknowledged since the cache was opened.
  const std::vector<LoggedMutation>& log() const { return log_; }

 private:
  using Name = std::pair<std::string, std::string>;
  struct Allowed {
    bool absent = false;
    std::vector<Expected> blobs;
  };
  Allowed AllowedNow(const Name& name, int64_t now_unix_ms) const;
  // `from`: contents, doubts apart.
  Allowed AllowedFrom(const Contents& from, const Name& name,
                      int64_t now_unix_ms, bool evicting) const;
  bool IsDead(const Name& name, const Expected& blob,
              int64_t now_unix_ms) const;
  // Returns: which of the allowed blobs the hit is.
  std::optional<Expected> Match(const Name& name, const Allowed& allowed,
                                const std::optional<cache::Hit>& hit) const;
  void CheckGenerations(cache::BlobCache* cache, Loss loss, uint64_t epoch);
  // Holds every key against `from`, doubts apart, and starts from what is
  // there.
  void Adopt(cache::BlobCache* cache, const Contents& from, bool evicting,
             int64_t now_unix_ms);

  const Options options_;
  Contents base_;      // When the cache was opened.
  Contents contents_;  // Now, doubts apart.
  std::vector<LoggedMutation> log_;
  std::vector<LoggedMutation> doubts_;
  cache::Hlc newest_;
  cache::Hlc newest_ever_;  // Over all lives.
  // When a blob was last accessed, at the latest.
  std::map<Name, int64_t> touched_;
  // Opened since: the cache may know of an earlier access only.
  std::map<Name, bool> access_lost_;
  // When it was opened.
  std::map<std::string, uint64_t> generations_;
  Invalidations certain_, possible_;
  bool anything_goes_ = false;  // Since Loss::kAnything, until Forget().
  // Every content that a key ever had.
  std::map<Name, std::vector<Expected>> ever_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_ORACLE_H_
