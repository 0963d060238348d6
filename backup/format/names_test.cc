#include "backup/format/names.h"

#include <string>

#include "backup/format/archive_file.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

TEST(NamesTest, PathsCannotLeaveTheirDirectory) {
  for (const char* good :
       {"a", "a/b", "..a", "a..", "a/.b", " ", "\n", "a\\b"}) {
    EXPECT_TRUE(CheckRelativePath(good).ok()) << good;
  }
  for (const char* bad : {"", "/", "/a", "a/", "a//b", ".", "..", "a/..",
                          "../a", "a/../b", "a/./b", "./a"}) {
    EXPECT_EQ(CheckRelativePath(bad).code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
  EXPECT_FALSE(CheckRelativePath(std::string("a\0b", 3)).ok());
  EXPECT_TRUE(CheckRelativePath(std::string(255, 'x')).ok());
  EXPECT_FALSE(CheckRelativePath(std::string(256, 'x')).ok());
  EXPECT_FALSE(CheckRelativePath(std::string(100'000, 'x')).ok());
  std::string deep = "d";
  for (int i = 1; i < 128; ++i) deep += "/d";
  EXPECT_TRUE(CheckRelativePath(deep).ok());
  EXPECT_FALSE(CheckRelativePath(deep + "/d").ok());
  EXPECT_LT(CheckRelativePath(std::string(100'000, 'x')).message().size(),
            300u);
}

TEST(NamesTest, PathsSortComponentByComponent) {
  EXPECT_TRUE(PathLess("a", "b"));
  EXPECT_TRUE(PathLess("a", "a/b"));
  EXPECT_TRUE(PathLess("a/z", "a.b"));  // '.' is below '/' as a byte.
  EXPECT_FALSE(PathLess("a.b", "a/z"));
  EXPECT_FALSE(PathLess("a", "a"));
  EXPECT_TRUE(PathLess("a", "a\x80"));
}

TEST(NamesTest, BlobNames) {
  const std::string name = BlobName("ns", std::string("k\0y", 3));
  absl::string_view ns, key;
  ASSERT_TRUE(SplitBlobName(name, &ns, &key));
  EXPECT_EQ(ns, "ns");
  EXPECT_EQ(key, absl::string_view("k\0y", 3));
  EXPECT_FALSE(SplitBlobName("no separator", &ns, &key));
}

TEST(NamesTest, PackNames) {
  std::string id;
  EXPECT_EQ(PackName("20260101T000000Z-0a", 12),
            "20260101T000000Z-0a-000012.pack");
  ASSERT_TRUE(ParsePackName("20260101T000000Z-0a-000012.pack", &id));
  EXPECT_EQ(id, "20260101T000000Z-0a");
  for (const char* bad :
       {"", "x.pack", "-000012.pack", "a-00001x.pack", "a_000012.pack",
        "../a-000012.pack", "a-000012.pack.tmp", "a-0000123.pac"}) {
    EXPECT_FALSE(ParsePackName(bad, &id)) << bad;
  }
}

}  // namespace
}  // namespace larder::backup::format
