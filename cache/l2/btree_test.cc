#include "cache/l2/btree.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cache/l2/memory_pages.h"
#include "cache/l2/page.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

using Model = std::map<std::string, std::string>;
// What is put; nothing: what is erased.
using Batch = std::map<std::string, std::optional<std::string>>;

// A tree in memory and the map that it must equal.
struct TreeAndModel {
  MemoryPages pages;
  ChildRef root;
  uint64_t epoch = 0;
  Model model;

  Tree tree() const { return Tree(&pages, root); }

  absl::StatusOr<ChildRef> Merge(const Batch& batch) {
    std::vector<TreeOp> ops;
    for (const auto& [key, value] : batch) {
      ops.push_back({.key = key, .value = {}});
      if (value.has_value()) ops.back().value = *value;
    }
    auto next = batch.begin();
    return ApplyBatch(&pages, &pages, root, epoch + 1, ops,
                      [&](size_t, std::optional<absl::string_view>) {
                        return (next++)->second.has_value()
                                   ? Resolution::kPut
                                   : Resolution::kErase;
                      });
  }

  void Apply(const Batch& batch) {
    pages.StartBatch();
    const auto merged = Merge(batch);
    ASSERT_TRUE(merged.ok()) << merged.status();
    root = *merged;
    ++epoch;
    for (const auto& [key, value] : batch) {
      if (value.has_value()) {
        model[key] = *value;
      } else {
        model.erase(key);
      }
    }
  }

  void Put(const std::string& key, const std::string& value) {
    Apply({{key, value}});
  }
};

std::string Number(uint64_t n) { return absl::StrFormat("%08d", n); }

Model Content(const Tree& tree, const std::string& from = "") {
  Model content;
  const absl::Status status =
      tree.Walk(from, [&](absl::string_view key, absl::string_view value) {
        content.emplace_hint(content.end(), key, value);
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  return content;
}

struct Shape {
  std::map<int, int> pages_by_level;
  size_t bytes_used = 0;

  int pages() const {
    int sum = 0;
    for (const auto& [level, pages] : pages_by_level) sum += pages;
    return sum;
  }
  double fill() const {
    return static_cast<double>(bytes_used) /
           static_cast<double>(pages() * kPageSpaceBytes);
  }
};

Shape ShapeOf(const TreeAndModel& state) {
  Shape shape;
  const absl::Status status = state.tree().VisitPages(
      [&](const Tree::PageInfo& info) {
        const auto page = state.pages.Get(info.ref);
        ASSERT_TRUE(page.ok());
        ++shape.pages_by_level[info.level];
        shape.bytes_used += page->bytes_used();
      },
      [](const Tree::Damage& damage) { ADD_FAILURE() << damage.status; });
  EXPECT_TRUE(status.ok()) << status;
  return shape;
}

TEST(BtreeTest, AnEmptyTreeHasNothing) {
  TreeAndModel state;
  EXPECT_EQ(*state.tree().Find("a"), std::nullopt);
  EXPECT_EQ(*state.tree().Rank("a"), 0u);
  EXPECT_EQ(Content(state.tree()), Model{});
  EXPECT_EQ(ShapeOf(state).pages(), 0);
  state.Apply({});
  EXPECT_EQ(state.root, ChildRef{});
  state.Apply({{"a", std::nullopt}});
  EXPECT_EQ(state.root, ChildRef{});
  EXPECT_TRUE(state.pages.allocated().empty());
}

TEST(BtreeTest, OneEntryIsOneLeaf) {
  TreeAndModel state;
  state.Put("", "value of the empty key");
  EXPECT_EQ(**state.tree().Find(""), "value of the empty key");
  EXPECT_EQ(*state.tree().Find("a"), std::nullopt);
  EXPECT_EQ(state.root.epoch, 1u);
  EXPECT_EQ(state.root.entries, 1u);
  EXPECT_EQ(ShapeOf(state).pages(), 1);
}

TEST(BtreeTest, TheResolverSeesEachOpOnceWithWhatExists) {
  TreeAndModel state;
  state.Apply({{"a", "1"}, {"c", "3"}, {"e", "5"}});
  std::vector<TreeOp> ops = {{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}};
  std::vector<std::pair<size_t, std::string>> seen;
  const auto root =
      ApplyBatch(&state.pages, &state.pages, state.root, 2, ops,
                 [&](size_t i, std::optional<absl::string_view> existing) {
                   seen.emplace_back(i, existing.value_or("none"));
                   ops[i].value = "chosen late";
                   return i == 0 ? Resolution::kKeep : Resolution::kPut;
                 });
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(seen, (std::vector<std::pair<size_t, std::string>>{
                      {0, "1"}, {1, "none"}, {2, "3"}, {3, "none"}}));
  EXPECT_EQ(Content(Tree(&state.pages, *root)), (Model{{"a", "1"},
                                                       {"b", "chosen late"},
                                                       {"c", "chosen late"},
                                                       {"d", "chosen late"},
                                                       {"e", "5"}}));
}

TEST(BtreeTest, WhatChangesNothingWritesNothing) {
  TreeAndModel state;
  Batch all;
  for (int i = 0; i < 5000; ++i) all[Number(2 * i)] = "v";
  state.Apply(all);
  const ChildRef before = state.root;
  Batch absent;
  for (int i = 0; i < 5000; i += 100) absent[Number(2 * i + 1)] = std::nullopt;
  state.Apply(absent);
  EXPECT_EQ(state.root, before);
  EXPECT_TRUE(state.pages.allocated().empty());
  EXPECT_TRUE(state.pages.freed().empty());
}

TEST(BtreeTest, OnePutRewritesOnePath) {
  TreeAndModel state;
  Batch all;
  for (int i = 0; i < 20'000; ++i) all[Number(i)] = std::string(40, 'v');
  state.Apply(all);
  const size_t height = ShapeOf(state).pages_by_level.size();
  ASSERT_EQ(height, 3u);
  state.Put(Number(10'000), std::string(40, 'w'));
  EXPECT_EQ(state.pages.written().size(), height);
  EXPECT_EQ(state.pages.freed().size(), height);
  EXPECT_EQ(Content(state.tree()), state.model);
}

TEST(BtreeTest, WalkStartsAnywhereAndStopsWhenTold) {
  TreeAndModel state;
  Batch all;
  for (int i = 0; i < 3000; ++i) all[Number(2 * i)] = "v";
  state.Apply(all);
  for (int i = 0; i < 6001; i += 7) {
    std::vector<std::string> seen;
    ASSERT_TRUE(state.tree()
                    .Walk(Number(i),
                          [&](absl::string_view key, absl::string_view) {
                            seen.emplace_back(key);
                            return seen.size() < 3;
                          })
                    .ok());
    std::vector<std::string> want;
    for (auto it = state.model.lower_bound(Number(i));
         it != state.model.end() && want.size() < 3; ++it) {
      want.push_back(it->first);
    }
    ASSERT_EQ(seen, want);
  }
}

TEST(BtreeTest, ErasingEverythingEmptiesTheTree) {
  for (const int count : {1, 10, 300, 20'000}) {
    TreeAndModel state;
    Batch all;
    for (int i = 0; i < count; ++i) all[Number(i)] = std::string(60, 'v');
    state.Apply(all);
    const int pages = ShapeOf(state).pages();
    for (auto& [key, value] : all) value = std::nullopt;
    state.Apply(all);
    EXPECT_EQ(state.root, (ChildRef{.page = 0, .epoch = 2}));
    EXPECT_EQ(static_cast<int>(state.pages.freed().size()), pages);
    EXPECT_TRUE(state.pages.allocated().empty());
  }
}

// What a tree of due times does: grows at one end, shrinks at the other.
TEST(BtreeTest, AQueueLeavesNoEmptyPagesBehind) {
  TreeAndModel state;
  for (int i = 0; i < 40; ++i) {
    Batch batch;
    for (int n = 0; n < 1000; ++n) {
      batch[Number(i * 1000 + n)] = std::string(60, 'v');
      if (i >= 5) batch[Number((i - 5) * 1000 + n)] = std::nullopt;
    }
    state.Apply(batch);
  }
  EXPECT_EQ(Content(state.tree()), state.model);
  EXPECT_GE(ShapeOf(state).fill(), 0.9);
}

TEST(BtreeTest, ARootNewerThanTheBatchIsRefused) {
  TreeAndModel state;
  state.Put("a", "1");
  state.root.epoch = 5;
  EXPECT_EQ(state.Merge({{"b", "2"}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(BtreeTest, SeveralBatchesMayShareAnEpoch) {
  TreeAndModel state;
  for (int i = 0; i < 50; ++i) {
    Batch batch;
    for (int n = 0; n < 100; ++n)
      batch[Number(n * 50 + i)] = std::string(99, 'v');
    state.Apply(batch);
    state.epoch = 0;
  }
  EXPECT_EQ(Content(state.tree()), state.model);
  for (auto it = state.model.begin(); it != state.model.end();) {
    Batch batch;
    for (int n = 0; n < 100 && it != state.model.end(); ++n, ++it) {
      batch[it->first] = std::nullopt;
    }
    state.Apply(batch);
    state.epoch = 0;
    it = state.model.begin();
  }
  EXPECT_EQ(state.root.page, 0u);
}

TEST(BtreeTest, ADeltaShowsThatTheTreeBecameEmpty) {
  TreeAndModel state;
  state.Put("a", "1");
  state.Apply({{"a", std::nullopt}});
  int leaves = 0;
  const auto visit = [&](const Tree::LeafInfo& info) {
    EXPECT_EQ(info.leaf.size(), 0);
    EXPECT_TRUE(info.low.empty() && info.high.empty());
    ++leaves;
    return absl::OkStatus();
  };
  ASSERT_TRUE(state.tree().VisitLeavesSince(1, visit).ok());
  EXPECT_EQ(leaves, 1);
  ASSERT_TRUE(state.tree().VisitLeavesSince(2, visit).ok());
  EXPECT_EQ(leaves, 1);
}

TEST(BtreeTest, AscendingInsertsFillPages) {
  for (const int batch_ops : {1, 10, 1000, 10'000}) {
    TreeAndModel state;
    const int count = batch_ops == 1 ? 3000 : 10'000;
    for (int i = 0; i < count; i += batch_ops) {
      Batch batch;
      for (int n = i; n < i + batch_ops; ++n) {
        batch[Number(n)] = std::string(80, 'v');
      }
      state.Apply(batch);
    }
    EXPECT_GE(ShapeOf(state).fill(), 0.9) << batch_ops;
    EXPECT_EQ(Content(state.tree()), state.model);
    RecordProperty(absl::StrCat("fill_percent_", batch_ops),
                   static_cast<int>(100 * ShapeOf(state).fill()));
  }
}

TEST(BtreeTest, RandomInsertsFillPagesWell) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (const int batch_ops : {1, 10, 1000}) {
    TreeAndModel state;
    const int count = batch_ops == 1 ? 3000 : 10'000;
    for (int i = 0; i < count; i += batch_ops) {
      Batch batch;
      for (int n = 0; n < batch_ops; ++n) {
        batch[Number(random() % 100'000'000)] = std::string(random() % 60, 'v');
      }
      state.Apply(batch);
    }
    EXPECT_GE(ShapeOf(state).fill(), 0.6) << batch_ops;
    RecordProperty(absl::StrCat("fill_percent_", batch_ops),
                   static_cast<int>(100 * ShapeOf(state).fill()));
  }
}

// Three levels from few entries: long keys leave room for few children.
void MakeSmallHighTree(TreeAndModel* state) {
  Batch batch;
  for (int i = 0; i < 24; ++i) {
    batch[std::string(1100, 'k') + Number(i)] = std::string(i * 30, 'v');
  }
  state->Apply(batch);
  ASSERT_GE(ShapeOf(*state).pages_by_level.size(), 3u);
}

// Whichever nodes become small or empty, beside whichever neighbours.
TEST(BtreeTest, ErasingAnyRangeLeavesASoundTree) {
  TreeAndModel state;
  MakeSmallHighTree(&state);
  const Model model = state.model;
  const ChildRef root = state.root;
  for (auto begin = model.begin(); begin != model.end(); ++begin) {
    Batch batch;
    for (auto it = begin; it != model.end(); ++it) {
      batch[it->first] = std::nullopt;
      state.root = root;
      state.model = model;
      state.epoch = 1;
      state.Apply(batch);
      ASSERT_EQ(Content(state.tree()), state.model);
      ASSERT_EQ(ShapeOf(state).pages() == 0, state.model.empty());
    }
  }
}

TEST(BtreeTest, AFailingSinkLeavesTheOldTree) {
  TreeAndModel state;
  MakeSmallHighTree(&state);
  Batch batch;
  for (int i = 0; i < 24; i += 5) {
    batch[std::string(1100, 'k') + Number(i)] = std::nullopt;
    batch[std::string(1100, 'k') + Number(100 + i)] = "new";
  }
  int failures = 0;
  for (bool failed = true; failed; ++failures) {
    state.pages.StartBatch();
    state.pages.FailSink(failures + 1);
    const auto merged = state.Merge(batch);
    failed = !merged.ok();
    if (!failed) break;
    ASSERT_TRUE(absl::IsUnavailable(merged.status()));
    ASSERT_TRUE(state.pages.freed().empty());
    ASSERT_EQ(Content(state.tree()), state.model);
  }
  state.pages.FailSink(0);
  EXPECT_GT(failures, 10);
  state.Apply(batch);
  EXPECT_EQ(Content(state.tree()), state.model);
}

TEST(BtreeTest, AFailingSourceEndsEveryCall) {
  TreeAndModel state;
  MakeSmallHighTree(&state);
  const std::string key = state.model.rbegin()->first;
  Batch batch;
  for (const auto& [old_key, value] : state.model) {
    if (batch.size() < 20) batch[old_key] = std::nullopt;
  }
  const auto ignore = [](absl::string_view, absl::string_view) { return true; };
  const auto fail = [](const Tree::Damage&) { ADD_FAILURE(); };
  const std::vector<std::function<absl::Status()>> calls = {
      [&] { return state.tree().Find(key).status(); },
      [&] { return state.tree().Rank(key).status(); },
      [&] { return state.tree().Walk("", ignore); },
      [&] { return state.tree().WalkDespiteDamage("", ignore, fail); },
      [&] {
        return state.tree().VisitPages([](const Tree::PageInfo&) {}, fail);
      },
      [&] {
        return state.tree().VisitLeavesSince(
            0, [](const Tree::LeafInfo&) { return absl::OkStatus(); });
      },
      [&] { return state.Merge(batch).status(); }};
  for (size_t i = 0; i < calls.size(); ++i) {
    int failures = 0;
    for (state.pages.FailGet(1); absl::IsUnavailable(calls[i]());
         state.pages.FailGet(failures + 1)) {
      ++failures;
      state.pages.StartBatch();
    }
    state.pages.FailGet(0);
    EXPECT_GE(failures, 3) << "call " << i;
    EXPECT_EQ(Content(state.tree()), state.model);
  }
}

struct Range {
  ChildRef ref;
  std::string low;
  std::string high;

  bool Holds(const std::string& key) const {
    return key >= low && (high.empty() || key < high);
  }
};

std::vector<Range> Ranges(const TreeAndModel& state) {
  std::vector<Range> ranges;
  EXPECT_TRUE(state.tree()
                  .VisitPages(
                      [&](const Tree::PageInfo& info) {
                        ranges.push_back({info.ref, std::string(info.low),
                                          std::string(info.high)});
                      },
                      [](const Tree::Damage& damage) {
                        ADD_FAILURE() << damage.status;
                      })
                  .ok());
  return ranges;
}

// Whatever byte is damaged: exactly that page's range is lost, and said so.
void CheckDamage(const TreeAndModel& state, const Range& lost) {
  Model want;
  for (const auto& [key, value] : state.model) {
    if (!lost.Holds(key)) want[key] = value;
  }
  Model found;
  std::vector<Tree::Damage> damages;
  const auto note = [&](const Tree::Damage& d) { damages.push_back(d); };
  ASSERT_TRUE(state.tree()
                  .WalkDespiteDamage(
                      "",
                      [&](absl::string_view key, absl::string_view value) {
                        found.emplace(key, value);
                        return true;
                      },
                      note)
                  .ok());
  ASSERT_EQ(found, want);
  int visited = 0;
  ASSERT_TRUE(state.tree()
                  .VisitPages([&](const Tree::PageInfo&) { ++visited; }, note)
                  .ok());
  ASSERT_EQ(damages.size(), 2u);
  for (const Tree::Damage& damage : damages) {
    ASSERT_EQ(damage.low, lost.low);
    ASSERT_EQ(damage.high, lost.high);
    ASSERT_TRUE(absl::IsDataLoss(damage.status));
  }
  for (const auto& [key, value] : state.model) {
    const auto hit = state.tree().Find(key);
    ASSERT_EQ(hit.ok(), !lost.Holds(key));
    if (hit.ok()) {
      ASSERT_EQ(**hit, value);
    }
  }
}

// A leaf that shrinks beside a damaged one is not joined with that. Where the
// last entry before it goes, too, there may be nobody else to join with.
TEST(BtreeTest, ErasingBesideADamagedLeafNeedsNothingOfIt) {
  TreeAndModel state;
  MakeSmallHighTree(&state);
  const Model model = state.model;
  const ChildRef root = state.root;
  for (const Range& lost : Ranges(state)) {
    if (state.pages.Get(lost.ref)->level() > 0) continue;
    char* const byte = state.pages.MutableBytes(lost.ref.page) + 100;
    for (auto begin = model.begin(); begin != model.end(); ++begin) {
      Batch batch;
      for (auto it = begin; it != model.end(); ++it) {
        if (!lost.Holds(it->first)) batch[it->first] = std::nullopt;
        const auto before = model.lower_bound(lost.low);
        if (before != model.begin() &&
            batch.contains(std::prev(before)->first)) {
          break;
        }
        state.root = root;
        state.model = model;
        state.epoch = 1;
        *byte ^= 1;
        state.Apply(batch);
        *byte ^= 1;
        // What it did not read is there still, where it was.
        ASSERT_EQ(Content(state.tree()), state.model);
        for (const uint64_t page : state.pages.freed()) {
          ASSERT_NE(page, lost.ref.page);
        }
        // The next batch gets by with what this one left.
        state.Apply({{model.begin()->first, "new"}});
        ASSERT_EQ(Content(state.tree()), state.model);
      }
    }
  }
}

// Pages of which one turns to zeros at some moment of a merge or a walk, and
// stays so, as one does that the disk cannot read any more.
class FadingPages : public PageSource, public PageSink {
 public:
  explicit FadingPages(MemoryPages* pages) : pages_(*pages) {}

  // `page` turns to zeros at moment number `nth` from now on (0: the next).
  void Fade(uint64_t page, int nth) {
    page_ = page;
    moments_left_ = nth;
    std::copy_n(pages_.MutableBytes(page), kPageBytes, before_);
  }
  // Returns: whether it came to that.
  bool Mend() {
    std::copy_n(before_, kPageBytes, pages_.MutableBytes(page_));
    return std::exchange(moments_left_, kNever) < 0;
  }
  void Moment() {
    if (moments_left_ == kNever || moments_left_-- != 0) return;
    std::fill_n(pages_.MutableBytes(page_), kPageBytes, '\0');
  }

  absl::StatusOr<PageView> Get(const ChildRef& ref) const override {
    const auto page = pages_.Get(ref);
    // What was verified may be gone when it is looked at.
    const_cast<FadingPages*>(this)->Moment();
    return page;
  }
  absl::StatusOr<uint64_t> Allocate() override {
    Moment();
    return pages_.Allocate();
  }
  absl::Status Write(uint64_t page, absl::string_view bytes) override {
    return pages_.Write(page, bytes);
  }
  void Free(uint64_t page) override { pages_.Free(page); }

 private:
  static constexpr int kNever = std::numeric_limits<int>::max();

  MemoryPages& pages_;
  uint64_t page_ = 0;
  int moments_left_ = kNever;
  char before_[kPageBytes];
};

// Three levels, with keys of a length that makes parents small.
TreeAndModel LongKeys() {
  TreeAndModel state;
  Batch batch;
  for (int i = 0; i < 60; ++i) {
    batch[Number(2 * i) + std::string(700, 'k')] = std::string(500, 'v');
  }
  state.Apply(batch);
  return state;
}

std::vector<uint64_t> PagesOf(const TreeAndModel& state) {
  std::vector<uint64_t> pages;
  EXPECT_TRUE(state.tree()
                  .VisitPages(
                      [&](const Tree::PageInfo& info) {
                        pages.push_back(info.ref.page);
                      },
                      [](const Tree::Damage& d) { ADD_FAILURE() << d.status; })
                  .ok());
  return pages;
}

// Whichever old page turns to zeros, and whenever: the merge fails, or has not
// missed a thing.
TEST(BtreeTest, AMergeTakesNoZerosForContent) {
  Batch batch;
  for (const int i : {0, 1, 37, 38, 40, 42, 44, 46, 118, 119}) {
    auto& value = batch[Number(i) + std::string(700, 'k')];
    if (i % 4 != 2) value = std::string(500, 'w');
  }
  const std::vector<uint64_t> old_pages = PagesOf(LongKeys());
  ASSERT_GT(old_pages.size(), 20u);
  int failed = 0;
  for (const uint64_t page : old_pages) {
    bool faded = true;
    for (int nth = 0; faded; ++nth) {
      TreeAndModel state = LongKeys();
      FadingPages fading(&state.pages);
      fading.Fade(page, nth);
      std::vector<TreeOp> ops;
      Model expected = state.model;
      for (const auto& [key, value] : batch) {
        ops.push_back({.key = key, .value = {}});
        if (value.has_value()) ops.back().value = *value;
        expected.erase(key);
        if (value.has_value()) expected[key] = *value;
      }
      std::set<std::string> found;
      const auto merged = ApplyBatch(
          &fading, &fading, state.root, 2, ops,
          [&](size_t i, std::optional<absl::string_view> existing) {
            fading.Moment();
            if (existing.has_value()) found.emplace(ops[i].key);
            return ops[i].value.empty() ? Resolution::kErase : Resolution::kPut;
          });
      faded = fading.Mend();
      EXPECT_TRUE(Content(state.tree()) == state.model);
      if (!merged.ok()) {
        EXPECT_TRUE(absl::IsDataLoss(merged.status())) << merged.status();
        ++failed;
        continue;
      }
      state.root = *merged;
      EXPECT_TRUE(Content(state.tree()) == expected) << page << " at " << nth;
      for (const TreeOp& op : ops) {
        EXPECT_EQ(found.contains(std::string(op.key)),
                  state.model.contains(std::string(op.key)));
      }
    }
  }
  EXPECT_GT(failed, 0);
}

// Nor does any walk: it ends with an error, or has seen everything.
TEST(BtreeTest, AWalkTakesNoZerosForContent) {
  TreeAndModel state = LongKeys();
  FadingPages fading(&state.pages);
  const Tree tree(&fading, state.root);
  const std::vector<uint64_t> pages = PagesOf(state);
  const auto check = [&](absl::string_view what,
                         absl::FunctionRef<bool()> sees_all) {
    for (const uint64_t page : pages) {
      bool faded = true;
      for (int nth = 0; faded; ++nth) {
        fading.Fade(page, nth);
        const bool all = sees_all();
        faded = fading.Mend();
        EXPECT_TRUE(all) << what << ": page " << page << " at " << nth;
      }
    }
  };
  check("walk", [&] {
    size_t entries = 0;
    const absl::Status status =
        tree.Walk("", [&](absl::string_view, absl::string_view) {
          ++entries;
          fading.Moment();
          return true;
        });
    return absl::IsDataLoss(status) || entries == state.model.size();
  });
  check("pages", [&] {
    size_t visited = 0;
    int damaged = 0;
    EXPECT_TRUE(tree.VisitPages(
                        [&](const Tree::PageInfo&) {
                          ++visited;
                          fading.Moment();
                        },
                        [&](const Tree::Damage&) { ++damaged; })
                    .ok());
    return damaged > 0 || visited == pages.size();
  });
  check("delta", [&] {
    size_t entries = 0;
    const absl::Status status =
        tree.VisitLeavesSince(0, [&](const Tree::LeafInfo& info) {
          for (int i = 0; i < info.leaf.size(); ++i) {
            ++entries;
            fading.Moment();
          }
          return absl::OkStatus();
        });
    return absl::IsDataLoss(status) || entries == state.model.size();
  });
  check("find", [&] {
    const auto found = tree.Find(state.model.rbegin()->first);
    return absl::IsDataLoss(found.status()) || (found.ok() && *found);
  });
}

TEST(BtreeTest, DamageCostsThePagesOwnRangeOnly) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  TreeAndModel state;
  MakeSmallHighTree(&state);
  for (const Range& range : Ranges(state)) {
    char* bytes = state.pages.MutableBytes(range.ref.page);
    for (size_t at = 0; at < kPageBytes; ++at) {
      const char flipped = 1 + random() % 255;
      bytes[at] ^= flipped;
      ASSERT_TRUE(absl::IsDataLoss(state.pages.Get(range.ref).status()));
      if (at % 1024 == 0) CheckDamage(state, range);
      bytes[at] ^= flipped;
    }
  }
  EXPECT_EQ(Content(state.tree()), state.model);
}

TEST(BtreeTest, ASwappedPageIsNotTaken) {
  TreeAndModel state;
  MakeSmallHighTree(&state);
  const std::vector<Range> ranges = Ranges(state);
  char* a = state.pages.MutableBytes(ranges[ranges.size() - 1].ref.page);
  char* b = state.pages.MutableBytes(ranges[ranges.size() - 2].ref.page);
  std::swap_ranges(a, a + kPageBytes, b);
  const auto value = state.tree().Find(state.model.rbegin()->first);
  EXPECT_TRUE(absl::IsDataLoss(value.status())) << value.status();
}

// A parent forged so that its child is a page from elsewhere in the tree.
TEST(BtreeTest, AForgedParentLeadsNowhere) {
  TreeAndModel state;
  PageBuilder leaf(0);
  leaf.AddValue("m", "1");
  const ChildRef leaf_ref = leaf.Finish(*state.pages.Allocate(), 1);
  ASSERT_TRUE(state.pages.Write(leaf_ref.page, leaf.bytes()).ok());
  const auto parent_of = [&](int level, const std::string& low,
                             const std::string& next) {
    PageBuilder parent(level);
    parent.AddChild(low, leaf_ref);
    parent.AddChild(next, leaf_ref);
    const ChildRef ref = parent.Finish(*state.pages.Allocate(), 1);
    EXPECT_TRUE(state.pages.Write(ref.page, parent.bytes()).ok());
    return ref;
  };
  const auto ignore = [](absl::string_view, absl::string_view) { return true; };
  for (const ChildRef& root :
       {parent_of(1, "", "n"), parent_of(1, "", "c"), parent_of(2, "", "n"),
        parent_of(1, "low", "n")}) {
    const Tree tree(&state.pages, root);
    EXPECT_TRUE(absl::IsDataLoss(tree.Walk("", ignore)));
    int damages = 0;
    EXPECT_TRUE(tree.VisitPages([](const Tree::PageInfo&) {},
                                [&](const Tree::Damage&) { ++damages; })
                    .ok());
    EXPECT_GE(damages, 1);
    EXPECT_TRUE(absl::IsDataLoss(
        ApplyBatch(&state.pages, &state.pages, root, 2, {{"a", ""}, {"z", ""}},
                   [](size_t, std::optional<absl::string_view>) {
                     return Resolution::kPut;
                   })
            .status()));
  }
}

}  // namespace
}  // namespace larder::cache::l2
