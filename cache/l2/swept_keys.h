// What the sweep of due records found dead: removals that wait for their
// commit.
#ifndef LARDER_CACHE_L2_SWEPT_KEYS_H_
#define LARDER_CACHE_L2_SWEPT_KEYS_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "cache/l2/key_arena.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Keys of the due tree, by the parity of the epoch that removes them. Nobody
// needs to see these removals before their commit, since expiry already hides
// the records; so they take no key lock and no place in the staging table.
// The commit removes a record only if it is still due when its key says.
//
// Thread-safe. Who adds is inside the epoch, and adds nothing twice.
class SweptKeys {
 public:
  // Copies `ordered_key`.
  void Add(uint64_t epoch, absl::string_view ordered_key);

  // Of a closed epoch, in the order they came. Valid until Clear(epoch).
  std::vector<absl::string_view> Of(uint64_t epoch) const;
  // Forgets them, once the commit that removes them is visible.
  void Clear(uint64_t epoch);

  int64_t size() const { return size_.load(std::memory_order_acquire); }
  // Memory that they take, about.
  int64_t bytes() const { return bytes_.load(std::memory_order_acquire); }

 private:
  // The key, and its view in the list.
  static int64_t BytesOf(absl::string_view key) {
    return static_cast<int64_t>(key.size() + sizeof(key));
  }
  struct Batch {
    KeyArena arena;
    std::vector<absl::string_view> keys;  // In the arena.
    int64_t bytes = 0;
  };

  mutable Mutex mu_;
  Batch batches_[2] ABSL_GUARDED_BY(mu_);
  std::atomic<int64_t> size_{0}, bytes_{0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SWEPT_KEYS_H_
