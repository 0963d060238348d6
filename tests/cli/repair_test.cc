// larder verify --repair, as an operator uses it.

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr size_t kPageBytes = 4096;

class Repair : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    l2_ = directory_ + "/l2";
    for (int i = 0; i < 300; ++i) {
      values_[absl::StrCat("k", i)] =
          RandomBytes(3'000, static_cast<unsigned>(i) + 1);
    }
    values_["large"] = RandomBytes(500'000, 1'000);
    for (const auto& [key, value] : values_) {
      WriteFile(absl::StrCat(directory_, "/tree/", key), value);
    }
    ASSERT_EQ(Larder({"import", "--l2", l2_, "-n", "n", directory_ + "/tree"})
                  .exit_code,
              0);
  }

  ProgramEnd Verify(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"verify", "--l2", l2_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Larder(arguments);
  }
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(l2_)) {
      files[entry.path().filename()] = ReadFile(entry.path());
    }
    return files;
  }
  void DamageTheChainOf(const std::string& key) {
    const std::string blobs = l2_ + "/blobs";
    const size_t at = ReadFile(blobs).find(values_.at(key).substr(0, 32));
    ASSERT_NE(at, std::string::npos);
    FlipByte(blobs, at + 100);
  }
  void DamagePage(size_t page) {
    for (const size_t at : {700, 701, 1'500}) {
      FlipByte(l2_ + "/meta", page * kPageBytes + at);
    }
  }
  // Exports what is there: files must be as they were.
  std::set<std::string> Exported() {
    const std::string out = absl::StrCat(directory_, "/out", ++exports_);
    const ProgramEnd end = Larder({"export", "--l2", l2_, "-n", "n", out});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    std::set<std::string> keys;
    for (const auto& entry : fs::directory_iterator(out)) {
      const std::string key = entry.path().filename();
      keys.insert(key);
      EXPECT_EQ(ReadFile(entry.path()), values_.at(key)) << key;
    }
    return keys;
  }

  std::string directory_;
  std::string l2_;
  std::map<std::string, std::string> values_;
  int exports_ = 0;
};

TEST_F(Repair, WhatIsSoundStaysAsItIs) {
  const auto before = Files();
  const ProgramEnd text = Verify({"--repair"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("nothing was damaged"));
  EXPECT_EQ(text.err, "");
  const ProgramEnd json = Verify({"--repair", "--json"});
  EXPECT_EQ(json.exit_code, 0);
  const Report report = LastJson(json.out);
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.repair().damages(), 0);
  EXPECT_EQ(report.repair().dropped_records(), 0);
  EXPECT_EQ(report.repair().epoch(), report.repair().epoch_before());
  EXPECT_TRUE(Files() == before);
}

TEST_F(Repair, DropsWhatIsDamagedAndSaysSo) {
  DamageTheChainOf("k7");
  DamageTheChainOf("large");
  const auto damaged = Files();
  EXPECT_EQ(Verify().exit_code, 12);
  EXPECT_TRUE(Files() == damaged);  // To look does not touch.
  const ProgramEnd end = Verify({"--repair", "--json"});
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_THAT(end.err, HasSubstr("n/k7: dropped: "));
  EXPECT_THAT(end.err, HasSubstr("n/large: dropped: "));
  const Report report = LastJson(end.out);
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.failed(), 2);
  EXPECT_EQ(report.orphaned_bytes(), 0);
  EXPECT_EQ(report.records(), 299);
  ASSERT_EQ(report.repair().dropped_size(), 2);
  EXPECT_EQ(report.repair().dropped(0).namespace_(), "n");
  EXPECT_EQ(report.repair().dropped(0).key(), "k7");
  EXPECT_EQ(report.repair().dropped(0).cause(), "damaged_chain");
  EXPECT_EQ(report.repair().dropped_by_cause().damaged_chain(), 2);
  EXPECT_EQ(Verify().exit_code, 0);
  EXPECT_EQ(Exported().size(), 299);
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "k7"}).exit_code, 10);
  // There is room and life again.
  EXPECT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k7"}, "anew").exit_code, 0);
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "k7"}).out, "anew");
  EXPECT_EQ(Verify({"--repair"}).exit_code, 0);
}

// Every page in turn, as on a disk that loses sectors; each on its own.
TEST_F(Repair, AnyDamagedPage) {
  const std::string whole = l2_;
  // Where the trees are.
  const size_t pages =
      std::min<size_t>(fs::file_size(whole + "/meta") / kPageBytes, 60);
  int dropped = 0, lossless = 0;
  for (size_t page = 0; page < pages; page += 4) {
    SCOPED_TRACE(absl::StrCat("page ", page));
    l2_ = absl::StrCat(directory_, "/page", page);
    fs::copy(whole, l2_);
    DamagePage(page);
    const ProgramEnd before = Verify();
    const ProgramEnd end = Verify({"--repair", "--json"});
    const Report report = LastJson(end.out);
    const int64_t lost = report.repair().dropped_records();
    EXPECT_EQ(end.exit_code, lost == 0 ? 0 : 3) << end.err;
    EXPECT_EQ(report.failed(), lost);
    EXPECT_EQ(Verify().exit_code, 0);
    if (lost < 301) {
      EXPECT_EQ(static_cast<int64_t>(Exported().size()), 301 - lost);
    }
    if (before.exit_code == 12) ++(lost == 0 ? lossless : dropped);
    fs::remove_all(l2_);
    if (HasFailure()) return;
  }
  EXPECT_GT(lossless + dropped, 2);
}

TEST_F(Repair, OrphansAndTheMapCostNothing) {
  {
    cache::BlobCacheOptions options;
    options.l2_path = l2_;
    options.background_commits = false;
    auto cache = cache::BlobCache::Open(options);
    ASSERT_TRUE(cache.ok()) << cache.status();
    ASSERT_TRUE((*cache)->Put("n", "orphan", RandomBytes(50'000, 3), {}).ok());
    fs::copy(l2_, directory_ + "/killed");  // Before the commit.
  }
  l2_ = directory_ + "/killed";
  for (const size_t at : {20, 600, 1100}) FlipByte(l2_ + "/space", at);
  EXPECT_EQ(Verify().exit_code, 12);
  const ProgramEnd end = Verify({"--repair"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("found        "));
  EXPECT_THAT(end.out, HasSubstr("damaged sectors"));
  EXPECT_THAT(end.out, HasSubstr("orphaned 0 B"));
  EXPECT_EQ(Exported().size(), 301);
}

TEST_F(Repair, WithoutASuperblockThereIsNothingToStartFrom) {
  for (size_t page = 0; page < 4; ++page) {
    FlipByte(l2_ + "/meta", page * kPageBytes + 30);
  }
  const auto before = Files();
  const ProgramEnd end = Verify({"--repair"});
  EXPECT_EQ(end.exit_code, 12);
  EXPECT_THAT(end.err, HasSubstr("no superblock is sound"));
  EXPECT_THAT(end.err, HasSubstr("nothing was changed"));
  EXPECT_TRUE(Files() == before);
}

TEST_F(Repair, OnlyWhereItCan) {
  cache::BlobCacheOptions options;
  options.l2_path = l2_;
  auto holder = cache::BlobCache::Open(options);
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(Verify({"--repair"}).exit_code, 11);
  holder->reset();
  EXPECT_EQ(
      Larder({"verify", "--l2", directory_ + "/no", "--repair"}).exit_code, 10);
  EXPECT_FALSE(fs::exists(directory_ + "/no"));
  EXPECT_EQ(Larder({"verify", "--repair"}).exit_code, 2);
  EXPECT_EQ(
      Larder({"verify", "--from", "dir:" + directory_, "--repair"}).exit_code,
      2);
  EXPECT_THAT(Larder({"verify", "--help"}).out, HasSubstr("--repair"));
}

}  // namespace
}  // namespace larder::tests
