#include "cache/l2/tree_builder.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/l2/memory_pages.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

using Model = std::map<std::string, std::string>;
using Random = std::mt19937_64;

// Walks every page and entry; expects no damage.
Model Read(const MemoryPages& pages, const ChildRef& root) {
  const Tree tree(&pages, root);
  const absl::Status visited =
      tree.VisitPages([](const Tree::PageInfo&) {},
                      [](const Tree::Damage& d) { ADD_FAILURE() << d.status; });
  EXPECT_TRUE(visited.ok()) << visited;
  Model found;
  const absl::Status walked =
      tree.Walk("", [&](absl::string_view key, absl::string_view value) {
        found[std::string(key)] = std::string(value);
        return true;
      });
  EXPECT_TRUE(walked.ok()) << walked;
  EXPECT_EQ(root.entries, found.size());
  return found;
}

std::string Value(Random& random) {
  return std::string(random() % 300, static_cast<char>('a' + random() % 26));
}

// One batch of puts and erases under `epoch`.
void Change(MemoryPages* pages, ChildRef* root, uint64_t epoch, Random& random,
            Model* model) {
  std::map<std::string, std::optional<std::string>> batch;
  const int count = static_cast<int>(random() % 60);
  for (int i = 0; i < count; ++i) {
    const std::string key = absl::StrFormat("key/%05d", random() % 2000);
    batch[key] = random() % 4 == 0 ? std::nullopt
                                   : std::optional<std::string>(Value(random));
  }
  std::vector<TreeOp> ops;
  for (const auto& [key, value] : batch) {
    ops.push_back({key, value.has_value() ? *value : absl::string_view()});
    if (value.has_value()) {
      (*model)[key] = *value;
    } else {
      model->erase(key);
    }
  }
  auto next = batch.begin();
  const auto merged = ApplyBatch(pages, pages, *root, epoch, ops,
                                 [&](size_t, std::optional<absl::string_view>) {
                                   return (next++)->second.has_value()
                                              ? Resolution::kPut
                                              : Resolution::kErase;
                                 });
  ASSERT_TRUE(merged.ok()) << merged.status();
  *root = *merged;
}

TEST(TreeBuilderTest, BuildsWhatItIsGiven) {
  for (const int entries : {0, 1, 2, 50, 3000}) {
    SCOPED_TRACE(entries);
    Random random(static_cast<uint64_t>(entries));
    MemoryPages pages;
    TreeBuilder builder(&pages, 7);
    Model model;
    for (int i = 0; i < entries; ++i) {
      const std::string key = absl::StrFormat("%06d", i);
      model[key] = Value(random);
      ASSERT_TRUE(builder.Add("", key, model[key]).ok());
    }
    const auto root = builder.Finish();
    ASSERT_TRUE(root.ok()) << root.status();
    EXPECT_EQ(root->epoch, 7);
    EXPECT_EQ(Read(pages, *root), model);
    // It takes batches like any other.
    ChildRef after = *root;
    Change(&pages, &after, 8, random, &model);
    EXPECT_EQ(Read(pages, after), model);
  }
}

TEST(TreeBuilderTest, KeysOfEveryLength) {
  Random random(3);
  MemoryPages pages;
  TreeBuilder builder(&pages, 1);
  Model model;
  for (int i = 0; i < 400; ++i) {
    model[absl::StrFormat("%04d", i) +
          std::string(random() % (kTreeKeyBytesMax - 4), 'k')] = "v";
  }
  for (const auto& [key, value] : model) {
    ASSERT_TRUE(builder.Add("", key, value).ok());
  }
  const auto root = builder.Finish();
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(Read(pages, *root), model);
}

TEST(TreeBuilderTest, PassesOnWhatTheSinkSays) {
  for (int64_t nth = 1; nth <= 30; ++nth) {
    MemoryPages pages;
    TreeBuilder builder(&pages, 1);
    pages.FailSink(nth);
    absl::Status status;
    for (int i = 0; i < 3000 && status.ok(); ++i) {
      status = builder.Add("", absl::StrFormat("%06d", i), "value");
    }
    if (status.ok()) status = builder.Finish().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << nth << ": " << status;
  }
}

TEST(PruneTreeTest, ATreeThatLosesNothingKeepsItsLeaves) {
  Random random(1);
  MemoryPages pages;
  ChildRef root;
  Model model;
  for (uint64_t epoch = 1; epoch < 60; ++epoch) {
    Change(&pages, &root, epoch, random, &model);
  }
  pages.StartBatch();
  const auto pruned =
      PruneTree(&pages, &pages, root, 100,
                [](absl::string_view, absl::string_view) { return true; });
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(Read(pages, *pruned), model);
  int leaves = 0;
  EXPECT_TRUE(Tree(&pages, *pruned)
                  .VisitLeavesSince(99,
                                    [&](const Tree::LeafInfo&) {
                                      ++leaves;
                                      return absl::OkStatus();
                                    })
                  .ok());
  EXPECT_EQ(leaves, 0);
}

TEST(PruneTreeTest, ATreeWithoutASoundRootIsEmpty) {
  Random random(1);
  MemoryPages pages;
  ChildRef root;
  Model model;
  for (uint64_t epoch = 1; epoch < 20; ++epoch) {
    Change(&pages, &root, epoch, random, &model);
  }
  pages.MutableBytes(root.page)[99] ^= 1;
  const auto pruned =
      PruneTree(&pages, &pages, root, 100,
                [](absl::string_view, absl::string_view) { return true; });
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(pruned->page, 0);
  EXPECT_EQ(pruned->epoch, 100);
}

// A history of batches, then random damage and refusals: what can be read and
// is not refused stays, and the leaves since any epoch tell the difference.
void PruneAtRandom(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  MemoryPages pages;
  ChildRef root;
  Model model;
  std::vector<Model> at_epoch = {model};
  const uint64_t epochs = 1 + random() % 80;
  for (uint64_t epoch = 1; epoch <= epochs; ++epoch) {
    Change(&pages, &root, epoch, random, &model);
    at_epoch.push_back(model);
  }
  std::vector<uint64_t> reached;
  ASSERT_TRUE(Tree(&pages, root)
                  .VisitPages(
                      [&](const Tree::PageInfo& page) {
                        reached.push_back(page.ref.page);
                      },
                      [](const Tree::Damage&) {})
                  .ok());
  for (const uint64_t page : reached) {
    if (random() % 12 == 0) pages.MutableBytes(page)[random() % 4096] ^= 0x55;
  }
  std::set<std::string> refused;
  const uint64_t refused_in = 1 + random() % 40;
  Model expected;
  ASSERT_TRUE(Tree(&pages, root)
                  .WalkDespiteDamage(
                      "",
                      [&](absl::string_view key, absl::string_view value) {
                        if (random() % refused_in == 0) {
                          refused.insert(std::string(key));
                        } else {
                          expected[std::string(key)] = std::string(value);
                        }
                        return true;
                      },
                      [](const Tree::Damage&) {})
                  .ok());
  const uint64_t epoch = epochs + 1;
  const auto pruned = PruneTree(&pages, &pages, root, epoch,
                                [&](absl::string_view key, absl::string_view) {
                                  return !refused.contains(std::string(key));
                                });
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(Read(pages, *pruned), expected);
  for (uint64_t since = 0; since < epoch; since += 1 + random() % 6) {
    Model replica = at_epoch[since];
    ASSERT_TRUE(Tree(&pages, *pruned)
                    .VisitLeavesSince(
                        since,
                        [&](const Tree::LeafInfo& info) {
                          replica.erase(
                              replica.lower_bound(std::string(info.low)),
                              info.high.empty() ? replica.end()
                                                : replica.lower_bound(
                                                      std::string(info.high)));
                          for (int i = 0; i < info.leaf.size(); ++i) {
                            replica[std::string(info.leaf.key(i))] =
                                std::string(info.leaf.value(i));
                          }
                          return absl::OkStatus();
                        })
                    .ok());
    ASSERT_EQ(replica, expected) << "since " << since;
  }
  // What follows merges into it.
  ChildRef after = *pruned;
  for (uint64_t next = epoch + 1; next < epoch + 5; ++next) {
    Change(&pages, &after, next, random, &expected);
    if (::testing::Test::HasFatalFailure()) return;
  }
  EXPECT_EQ(Read(pages, after), expected);
}

TEST(PruneTreeTest, KeepsWhatIsSoundAndTellsTheDifference) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    PruneAtRandom(seed);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace larder::cache::l2
