// What the roots of a damaged L2 reach.
#ifndef LARDER_CACHE_L2_REPAIR_SURVEY_H_
#define LARDER_CACHE_L2_REPAIR_SURVEY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/page.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/superblock.h"

namespace larder::cache::l2 {

enum class MetaTree { kSystem, kRecords, kDue, kAge };
const char* NameOf(MetaTree tree);

struct Survey {
  // A page that is not what its parent says, and the keys below it.
  struct LostPage {
    MetaTree tree;
    Tree::Damage damage;
  };
  std::vector<LostPage> lost;    // By tree, then in key order.
  std::vector<uint64_t> mended;  // Pages in which one bit was flipped back.

  bool IsWhole(MetaTree tree) const;
};

// Walks the four trees of `superblock` and keeps, in `pages`, all that is
// sound. A damaged page in which flipping one bit gives just what its parent
// names is written back so, in place (not synced): nobody wrote what it holds.
// Two places that claim one page both lose it.
// Errors: what File says.
// Memory: the fences of each lost page.
absl::StatusOr<Survey> SurveyTrees(const Superblock& superblock, File* meta,
                                   RepairPages* pages);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_SURVEY_H_
