// Writes the chain of a record that comes from a snapshot, frame by frame.
#ifndef LARDER_CACHE_L2_RECORD_LOADER_H_
#define LARDER_CACHE_L2_RECORD_LOADER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/hlc.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/record.h"
#include "cache/namespace_table.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {

// The methods, and their errors, are those of cache::L2Loader; what to do with
// a record that is whole is the caller's. Single-owner. Borrows both.
class RecordLoader {
 public:
  // `may_evict`: see L2Store::AllocateChain().
  RecordLoader(L2Store* store, NamespaceTable* namespaces,
               bool may_evict = false)
      : store_(store), namespaces_(namespaces), may_evict_(may_evict) {}
  ~RecordLoader() { Abandon(); }

  absl::Status Begin(const StoredRecord& record);
  absl::Status AppendFrame(absl::string_view stored);
  // Its chain is the caller's from here on: to be staged, or to be freed.
  absl::StatusOr<PreparedPut> Finish();
  void Abandon();

 private:
  struct Pending {
    PreparedPut put;
    std::vector<Frame> frames;
    size_t next_frame = 0;
    uint64_t offset = 0;  // In the chain.
    std::string inline_chain;
  };

  L2Store* const store_;
  NamespaceTable* const namespaces_;
  const bool may_evict_;
  std::optional<Pending> pending_;
};

// Errors: kInvalidArgument.
absl::Status CheckLoadedTombstone(const Tombstone& tombstone);

// Tells `gone` the committed records in the key range [from, until) of `ns`
// (`until` empty: to its end) whose RecordFingerprint() is not among `kept`;
// stops at its first error. It may stage and commit.
// Returns: how many of `kept` are not there.
absl::StatusOr<int64_t> ForEachNotKept(
    const L2Store& store, const Namespace& ns, absl::string_view from,
    absl::string_view until, absl::Span<const uint64_t> kept,
    absl::FunctionRef<absl::Status(absl::string_view key, Hlc hlc)> gone);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_RECORD_LOADER_H_
