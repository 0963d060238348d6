// Says what a cache may answer, while it lives and after a crash, from what it
// acknowledged.
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
    kNone,         // It was closed.
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
                      int64_t now_unix_ms) const;
  bool IsDead(const Name& name, const Expected& blob,
              int64_t now_unix_ms) const;
  // Returns: which of the allowed blobs the hit is.
  std::optional<Expected> Match(const Name& name, const Allowed& allowed,
                                const std::optional<cache::Hit>& hit) const;
  void CheckGenerations(cache::BlobCache* cache, Loss loss, uint64_t epoch);

  const Options options_;
  Contents base_;      // When the cache was opened.
  Contents contents_;  // Now, doubts apart.
  std::vector<LoggedMutation> log_;
  std::vector<LoggedMutation> doubts_;
  cache::Hlc newest_;
  // When a blob was last accessed, at the latest.
  std::map<Name, int64_t> touched_;
  // Opened since: the cache may know of an earlier access only.
  std::map<Name, bool> access_lost_;
  std::map<std::string, uint64_t> generations_;  // When it was opened.
  bool anything_goes_ = false;  // Since Loss::kAnything, until Forget().
  // Every content that a key ever had.
  std::map<Name, std::vector<Expected>> ever_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_ORACLE_H_
