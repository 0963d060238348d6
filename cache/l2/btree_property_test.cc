// Random batches against a std::map: after each, everything that a tree
// promises is checked.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/memory_pages.h"
#include "cache/l2/page.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

using Model = std::map<std::string, std::string>;
using Random = std::mt19937_64;

enum class Keys { kFew, kShort, kPrefixed, kLong, kAscending, kBinary };
enum class Values { kSmall, kMixed, kLarge };

struct Workload {
  const char* name;
  Keys keys;
  Values values;
  int batches;
  int ops_max;        // Of a batch.
  int entries_limit;  // About where growth turns into shrinking.
};

std::string SomeKey(Keys keys, Random& random, uint64_t* ascending) {
  switch (keys) {
    case Keys::kFew: {
      // From the empty key to five letters, with nuls and 0xff.
      std::string key;
      for (int n = random() % 6; n > 0; --n) key += "\0a\xff"[random() % 3];
      return key;
    }
    case Keys::kShort:
      return absl::StrCat(random() % 5000);
    case Keys::kPrefixed:
      return absl::StrFormat("namespace%d/some/object/%06d", random() % 3,
                             random() % 3000);
    case Keys::kLong: {
      std::string key(random() % 3 == 0 ? 1016 : random() % 1016, 'k');
      return key + absl::StrFormat("%08d", random() % 2000);
    }
    case Keys::kAscending:
      return absl::StrFormat("%012d", ++*ascending);
    case Keys::kBinary: {
      std::string key(8, '\0');
      for (char& c : key) c = static_cast<char>(random());
      return key;
    }
  }
  return "";
}

std::string SomeValue(Values values, size_t key_bytes, Random& random) {
  const size_t limit = kEntryBytesMax - key_bytes;
  size_t bytes = random() % 40;
  if (values == Values::kMixed && random() % 4 == 0) bytes = random() % 600;
  if (values == Values::kLarge) bytes = random() % (limit + 1);
  if (values != Values::kSmall && random() % 50 == 0) bytes = limit;
  std::string value(std::min(bytes, limit), '\0');
  for (char& c : value) c = static_cast<char>(random());
  return value;
}

struct Op {
  Resolution resolution;
  std::string value;
};
using Batch = std::map<std::string, Op>;

// What is reachable from a root.
struct Reachable {
  struct Page {
    ChildRef ref;
    int level;
    std::string low;
    std::string high;
    friend bool operator==(const Page&, const Page&) = default;
  };
  std::map<uint64_t, Page> pages;
  size_t bytes_used = 0;
};

class Property {
 public:
  Property(const Workload& workload, uint64_t seed)
      : workload_(workload), random_(seed) {
    history_.push_back({.epoch = 0, .root = {}, .model = {}});
  }

  void Run() {
    for (int i = 0; i < workload_.batches && !testing::Test::HasFailure();
         ++i) {
      SCOPED_TRACE(absl::StrCat("batch ", i));
      Step();
    }
  }

 private:
  struct Past {
    uint64_t epoch;
    ChildRef root;
    Model model;
  };

  void Step() {
    const Batch batch = NextBatch();
    const Reachable before = std::exchange(reachable_, {});
    const ChildRef old_root = root_;
    pages_.StartBatch();
    ++epoch_;
    Merge(batch);
    if (testing::Test::HasFatalFailure()) return;
    reachable_ = Reach(root_);
    CheckPages(before, reachable_, old_root);
    CheckShape(reachable_);
    CheckContent();
    CheckDelta();
    if (random_() % 4 == 0) CheckPast();
    if (random_() % 8 == 0) {
      if (history_.size() > 12) {
        history_.erase(history_.begin() + random_() % history_.size());
      }
      history_.push_back({.epoch = epoch_, .root = root_, .model = model_});
    }
  }

  // Mostly grows below the limit and shrinks above it, in some batches only
  // erases, a range or everything, or changes nothing.
  Batch NextBatch() {
    Batch batch;
    const uint64_t kind = random_() % 40;
    if (kind == 0) {
      for (const auto& [key, value] : model_) batch[key] = Erase();
      return batch;
    }
    if (kind < 7) {
      EraseRange(&batch);
      if (kind < 4) return batch;
    }
    const bool grow =
        random_() % static_cast<uint64_t>(workload_.entries_limit) >
        model_.size() / 2;
    int count = 1 + random_() % workload_.ops_max;
    if (random_() % 3 == 0) count = 1 + random_() % 3;
    for (int i = 0; i < count; ++i) {
      const std::string key =
          random_() % 3 == 0 && !model_.empty() ? PresentKey() : FreshKey();
      batch[key] = kind == 7 ? Op{Resolution::kKeep, ""} : SomeOp(key, grow);
    }
    return batch;
  }

  static Op Erase() { return {Resolution::kErase, ""}; }

  Op SomeOp(const std::string& key, bool grow) {
    const uint64_t dice = random_() % 10;
    if (dice == 0) return {Resolution::kKeep, ""};
    if (dice < (grow ? 3u : 7u)) return Erase();
    return {Resolution::kPut, SomeValue(workload_.values, key.size(), random_)};
  }

  void EraseRange(Batch* batch) {
    if (model_.empty()) return;
    auto it = random_() % 3 == 0 ? model_.begin() : model_.find(PresentKey());
    const size_t count = random_() % (model_.size() + 1);
    for (size_t i = 0; i < count && it != model_.end(); ++i, ++it) {
      (*batch)[it->first] = Erase();
    }
  }

  std::string FreshKey() {
    return SomeKey(workload_.keys, random_, &ascending_);
  }

  std::string PresentKey() {
    auto it = model_.lower_bound(FreshKey());
    if (it == model_.end() || random_() % 4 == 0) {
      it = std::next(model_.begin(), random_() % model_.size());
    }
    return it->first;
  }

  // Merges `batch` into the tree and the model.
  void Merge(const Batch& batch) {
    std::vector<TreeOp> ops;
    std::vector<Batch::const_iterator> order;
    for (auto it = batch.begin(); it != batch.end(); ++it) {
      ops.push_back({.key = it->first, .value = it->second.value});
      order.push_back(it);
    }
    size_t called = 0;
    const auto merged =
        ApplyBatch(&pages_, &pages_, root_, epoch_, ops,
                   [&](size_t i, std::optional<absl::string_view> existing) {
                     EXPECT_EQ(i, called++);
                     const auto old = model_.find(order[i]->first);
                     EXPECT_EQ(existing.has_value(), old != model_.end());
                     if (existing.has_value() && old != model_.end()) {
                       EXPECT_EQ(*existing, old->second);
                     }
                     return order[i]->second.resolution;
                   });
    ASSERT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(called, ops.size());
    bool changed = false;
    for (const auto& [key, op] : batch) {
      if (op.resolution == Resolution::kPut) {
        model_[key] = op.value;
        changed = true;
      } else if (op.resolution == Resolution::kErase) {
        changed |= model_.erase(key) > 0;
      }
    }
    EXPECT_EQ(*merged != root_, changed);
    root_ = *merged;
    EXPECT_EQ(root_.entries, model_.size());
    EXPECT_EQ(root_.page == 0, model_.empty());
  }

  Reachable Reach(const ChildRef& root) {
    Reachable reachable;
    const auto note = [&](const Tree::PageInfo& info) {
      const Reachable::Page page = {info.ref, info.level, std::string(info.low),
                                    std::string(info.high)};
      EXPECT_TRUE(reachable.pages.emplace(info.ref.page, page).second);
      // VisitPages() has just verified it.
      const auto view =
          PageView::Trust(pages_.MutableBytes(info.ref.page), info.ref);
      ASSERT_TRUE(view.ok());
      reachable.bytes_used += view->bytes_used();
      EXPECT_TRUE(view->size() > 0 || info.high.empty())
          << "an empty leaf amid the tree";
    };
    const absl::Status status =
        Tree(&pages_, root).VisitPages(note, [](const Tree::Damage& damage) {
          ADD_FAILURE() << damage.status;
        });
    EXPECT_TRUE(status.ok()) << status;
    return reachable;
  }

  // No page lost, leaked, freed twice or changed in place; invariant 6.
  void CheckPages(const Reachable& before, const Reachable& after,
                  const ChildRef& old_root) {
    EXPECT_EQ(pages_.allocated(), pages_.written());
    const std::set<uint64_t> freed(pages_.freed().begin(),
                                   pages_.freed().end());
    EXPECT_EQ(freed.size(), pages_.freed().size());
    for (const uint64_t page : freed) {
      EXPECT_TRUE(before.pages.count(page))
          << "freed, but not in use: " << page;
      EXPECT_FALSE(after.pages.count(page)) << "freed, but in use: " << page;
    }
    for (const uint64_t page : pages_.allocated()) {
      EXPECT_TRUE(after.pages.count(page)) << "leaked: " << page;
    }
    EXPECT_EQ(before.pages.size() - freed.size() + pages_.allocated().size(),
              after.pages.size());
    for (const auto& [number, page] : after.pages) {
      const auto old = before.pages.find(number);
      if (old == before.pages.end()) {
        EXPECT_EQ(page.ref.epoch, epoch_);
      } else {
        EXPECT_EQ(page, old->second) << "kept, but at another place";
      }
    }
    if (root_ != old_root && root_.page != 0) {
      EXPECT_EQ(root_.epoch == epoch_, before.pages.count(root_.page) == 0);
    }
  }

  void CheckShape(const Reachable& after) {
    if (root_.page == 0) return;
    const auto root = pages_.Get(root_);
    ASSERT_TRUE(root.ok());
    EXPECT_TRUE(root->level() == 0 || root->size() >= 2);
    // Two pages that overflow together are at least half full on average;
    // few pages and large entries leave more room.
    if (after.pages.size() > 40) {
      EXPECT_GE(after.bytes_used, after.pages.size() * kPageSpaceBytes / 4);
    }
  }

  void CheckContent() {
    const Tree tree(&pages_, root_);
    auto next = model_.begin();
    ASSERT_TRUE(tree.Walk("",
                          [&](absl::string_view key, absl::string_view value) {
                            const bool equal = next != model_.end() &&
                                               next->first == key &&
                                               next->second == value;
                            EXPECT_TRUE(equal);
                            if (equal) ++next;
                            return equal;
                          })
                    .ok());
    EXPECT_EQ(next, model_.end());
    uint64_t rank = 0;
    const size_t stride = 1 + random_() % 7;
    for (const auto& [key, value] : model_) {
      if (rank++ % stride != 0) continue;
      const auto found = tree.Find(key);
      ASSERT_TRUE(found.ok() && found->has_value());
      ASSERT_EQ(**found, value);
      ASSERT_EQ(*tree.Rank(key), rank - 1);
    }
    for (int i = 0; i < 50; ++i) CheckAnyKey(tree);
  }

  void CheckAnyKey(const Tree& tree) {
    const std::string key = FreshKey().substr(0, random_() % 1100);
    const auto it = model_.lower_bound(key);
    const bool present = it != model_.end() && it->first == key;
    const auto found = tree.Find(key);
    ASSERT_TRUE(found.ok());
    ASSERT_EQ(found->has_value(), present);
    ASSERT_EQ(*tree.Rank(key), std::distance(model_.begin(), it));
    std::optional<std::string> first;
    ASSERT_TRUE(tree.Walk(key,
                          [&](absl::string_view found_key, absl::string_view) {
                            first = std::string(found_key);
                            return false;
                          })
                    .ok());
    ASSERT_EQ(first.has_value(), it != model_.end());
    if (first.has_value()) {
      ASSERT_EQ(*first, it->first);
    }
  }

  // What was there at some earlier epoch, with the leaves that are newer laid
  // over it, is what is there now.
  void CheckDelta() {
    const Past& base = history_[random_() % history_.size()];
    Model replayed = base.model;
    std::string end;
    bool ended = false;
    const absl::Status status =
        Tree(&pages_, root_)
            .VisitLeavesSince(base.epoch, [&](const Tree::LeafInfo& info) {
              EXPECT_FALSE(ended);
              EXPECT_GE(info.low, end);
              end = std::string(info.high);
              ended = info.high.empty();
              const std::string low(info.low);
              replayed.erase(
                  replayed.lower_bound(low),
                  ended ? replayed.end() : replayed.lower_bound(end));
              for (int i = 0; i < info.leaf.size(); ++i) {
                replayed[std::string(info.leaf.key(i))] =
                    std::string(info.leaf.value(i));
              }
              return absl::OkStatus();
            });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(replayed == model_) << "delta since epoch " << base.epoch;
  }

  void CheckPast() {
    const Past& past = history_[random_() % history_.size()];
    Model content;
    ASSERT_TRUE(Tree(&pages_, past.root)
                    .Walk("",
                          [&](absl::string_view key, absl::string_view value) {
                            content.emplace_hint(content.end(), key, value);
                            return true;
                          })
                    .ok());
    EXPECT_TRUE(content == past.model) << "root of epoch " << past.epoch;
  }

  const Workload workload_;
  Random random_;
  MemoryPages pages_;
  ChildRef root_;
  Reachable reachable_;  // From `root_`.
  uint64_t epoch_ = 0;
  uint64_t ascending_ = 0;
  Model model_;
  std::vector<Past> history_;
};

class BtreePropertyTest : public testing::TestWithParam<Workload> {};

TEST_P(BtreePropertyTest, EqualsAMap) {
  uint64_t seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = 1 + std::random_device()() % 99'999;
  SCOPED_TRACE(absl::StrCat("to repeat: --gtest_random_seed=", seed));
  Property(GetParam(), seed).Run();
}

INSTANTIATE_TEST_SUITE_P(
    Workloads, BtreePropertyTest,
    testing::Values(
        Workload{"FewKeys", Keys::kFew, Values::kMixed, 400, 30, 150},
        Workload{"FewKeysLarge", Keys::kFew, Values::kLarge, 400, 30, 200},
        Workload{"Short", Keys::kShort, Values::kSmall, 150, 400, 1500},
        Workload{"ShortMixed", Keys::kShort, Values::kMixed, 150, 200, 1000},
        Workload{"Prefixed", Keys::kPrefixed, Values::kMixed, 150, 200, 1000},
        Workload{"Long", Keys::kLong, Values::kSmall, 250, 60, 200},
        Workload{"LongLarge", Keys::kLong, Values::kLarge, 250, 60, 250},
        Workload{"Ascending", Keys::kAscending, Values::kSmall, 150, 300, 1500},
        Workload{"Binary", Keys::kBinary, Values::kSmall, 150, 400, 1500},
        Workload{"BinaryLarge", Keys::kBinary, Values::kLarge, 200, 100, 400}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace larder::cache::l2
