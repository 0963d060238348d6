// One bounded step of a sweep: what it may cost and what it did.
#ifndef LARDER_CACHE_SWEEP_SLICE_H_
#define LARDER_CACHE_SWEEP_SLICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::cache {

// Whichever comes first ends the slice. Source of the defaults: design.md 3.4.
struct SliceLimit {
  int64_t entries_max = 64;
  int64_t nanos_max = 1'000'000;
};

struct SliceReport {
  int64_t scanned = 0;
  int64_t removed = 0;
  int64_t bytes = 0;  // Of what was removed: memory in L1, disk in L2.
  bool done = false;  // The round is complete; the next slice starts a new one.
  struct PerNamespace {
    std::string ns;
    int64_t removed = 0;
    int64_t bytes = 0;
  };
  std::vector<PerNamespace> by_namespace;

  // Counts one removal, in all and for its namespace.
  void AddRemoved(absl::string_view ns, int64_t removed_bytes) {
    ++removed;
    bytes += removed_bytes;
    for (PerNamespace& p : by_namespace) {
      if (p.ns != ns) continue;
      ++p.removed;
      p.bytes += removed_bytes;
      return;
    }
    by_namespace.push_back({std::string(ns), 1, removed_bytes});
  }
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_SWEEP_SLICE_H_
