#include "cache/namespace_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace larder::cache {
namespace {

std::string HashBytes(uint64_t h) {
  return std::string(reinterpret_cast<const char*>(&h), sizeof(h));
}

TEST(NamespaceTest, ARecordIsValidIffNewerThanEveryMatchingTombstone) {
  Namespace ns("ns", 1);
  const uint64_t tag = TagHash("t"), dep = DependencyHash("t");
  EXPECT_NE(tag, dep);
  EXPECT_TRUE(ns.IsValid("dir/k", Hlc{5}, {tag}));
  ns.Add({TombstoneKind::kTag, "ns", HashBytes(tag), Hlc{5}});
  EXPECT_FALSE(ns.IsValid("dir/k", Hlc{5}, {tag}));
  EXPECT_TRUE(ns.IsValid("dir/k", Hlc{6}, {tag}));
  EXPECT_TRUE(ns.IsValid("dir/k", Hlc{5}, {dep}));
  ns.Add({TombstoneKind::kPrefix, "ns", "dir/", Hlc{7}});
  EXPECT_FALSE(ns.IsValid("dir/k", Hlc{7}, {}));
  EXPECT_FALSE(ns.IsValid("dir/", Hlc{7}, {}));
  EXPECT_TRUE(ns.IsValid("dir", Hlc{7}, {}));
  EXPECT_TRUE(ns.IsValid("other", Hlc{1}, {}));
  ns.Flush(Hlc{9}, 1);
  EXPECT_FALSE(ns.IsValid("other", Hlc{9}, {}));
  EXPECT_TRUE(ns.IsValid("other", Hlc{10}, {}));
  ns.Flush(Hlc{3}, 0);  // Neither shrinks.
  EXPECT_EQ(ns.flushed_at(), Hlc{9});
  EXPECT_EQ(ns.generation(), 1);
}

TEST(NamespaceTest, RetiringKeepsWhatWasRenewed) {
  Namespace ns("ns", 1);
  const Tombstone old{TombstoneKind::kPrefix, "ns", "p", Hlc{5}};
  ns.Add(old);
  ns.Add({TombstoneKind::kPrefix, "ns", "p", Hlc{8}});
  EXPECT_EQ(ns.tombstones(), 1);
  EXPECT_FALSE(ns.Retire(old));
  EXPECT_FALSE(ns.IsValid("pk", Hlc{8}, {}));
  EXPECT_TRUE(ns.Retire(ns.Tombstones()[0]));
  EXPECT_EQ(ns.tombstones(), 0);
  EXPECT_TRUE(ns.IsValid("pk", Hlc{1}, {}));
}

TEST(NamespaceTest, TombstonesAreBounded) {
  Namespace ns("ns", 1);
  EXPECT_TRUE(ns.CheckRoom(Namespace::kTombstonesMax).ok());
  ns.Add({TombstoneKind::kPrefix, "ns", "p", Hlc{5}});
  EXPECT_TRUE(
      absl::IsResourceExhausted(ns.CheckRoom(Namespace::kTombstonesMax)));
}

TEST(NamespaceTableTest, FindsAndLimits) {
  NamespaceTable table(300);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(table.FindOrCreate(absl::StrCat("n", i)).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(table.FindOrCreate("more").status()));
  EXPECT_EQ(table.Find("more"), nullptr);
  for (int i = 0; i < 300; ++i) {
    Namespace* ns = table.Find(absl::StrCat("n", i));
    ASSERT_NE(ns, nullptr);
    EXPECT_EQ(table.FindById(ns->id()), ns);
    EXPECT_EQ(*table.FindOrCreate(ns->name()), ns);
  }
  EXPECT_FALSE(table.FindOrCreate(std::string("a\0b", 3)).ok());
}

TEST(NamespaceTableTest, LookupsRunBesideGrowth) {
  NamespaceTable table(2000);
  ASSERT_TRUE(table.FindOrCreate("first").ok());
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) ASSERT_NE(table.Find("first"), nullptr);
  });
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(table.FindOrCreate(absl::StrCat("n", i)).ok());
  }
  stop = true;
  reader.join();
  EXPECT_EQ(table.All().size(), 1501);
}

}  // namespace
}  // namespace larder::cache
