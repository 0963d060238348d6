// What an archive holds, and what is done with it: show, restore --at, diff,
// prune, verify.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Catalogue : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    l2_ = directory_ + "/l2";
    path_ = directory_ + "/archive";
    archive_ = "dir:" + path_;
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  void Put(const std::string& ns, const std::string& key,
           const std::string& value) {
    ASSERT_EQ(
        Larder({"put", "--l2", l2_, "-n", ns, "--", key}, value).exit_code, 0);
  }
  // Returns: its id.
  std::string Backup(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {
        "backup", "--l2",   l2_,     "--include-blob-cache",
        "--to",   archive_, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramEnd end = Larder(arguments);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return LastJson(end.out).snapshot();
  }
  Report Json(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.push_back("--json");
    const ProgramEnd end = Larder(arguments);
    EXPECT_EQ(end.exit_code, exit_code) << end.out << end.err;
    return LastJson(end.out);
  }

  std::string directory_, l2_, path_, archive_;
};

TEST_F(Catalogue, ShowTellsAllOfASnapshot) {
  WriteFile(At("tree/a"), "a file");
  Put("pages", "a", "first");
  const std::string full = Backup({"--files", At("tree")});
  Put("pages", "b", "second");
  const std::string delta = Backup();

  const Report first = Json({"show", archive_, full});
  EXPECT_THAT(first.chain(), ElementsAre(full));
  ASSERT_EQ(first.sources_size(), 2);
  EXPECT_EQ(first.sources(0).blobs(), 1);
  EXPECT_EQ(first.sources(1).files(), 1);

  const Report second = Json({"show", archive_, delta});
  EXPECT_TRUE(second.complete());
  EXPECT_THAT(second.chain(), ElementsAre(full, delta));
  ASSERT_EQ(second.sources_size(), 1);
  EXPECT_EQ(second.sources(0).blobs(), 2);
  EXPECT_EQ(second.sources(0).lineage(), first.sources(0).lineage());
  EXPECT_EQ(second.sources(0).content_digest().size(), 32u);
  EXPECT_NE(second.sources(0).content_digest(),
            first.sources(0).content_digest());

  const ProgramEnd text = Larder({"show", "--from", archive_, delta});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const std::string& part :
       {delta, full, second.sources(0).lineage(),
        second.sources(0).content_digest(), std::string("delta 1")}) {
    EXPECT_THAT(text.out, HasSubstr(part));
  }
}

TEST_F(Catalogue, ShowTellsWhatIsMissing) {
  Put("pages", "a", "first");
  const std::string full = Backup();
  Put("pages", "b", "second");
  const std::string delta = Backup();
  const std::string pack = path_ + "/packs/" + full + "-000000.pack";
  WriteFile(pack, "short");
  EXPECT_FALSE(Json({"show", archive_, full}, 3).complete());
  const ProgramEnd above = Larder({"show", archive_, delta});
  EXPECT_EQ(above.exit_code, 3);
  EXPECT_THAT(above.err, HasSubstr(full));
  EXPECT_EQ(Larder({"show", archive_, "nothing"}).exit_code, 10);
}

TEST_F(Catalogue, RestoreAtPicksTheNewestNotAfter) {
  Put("pages", "k", "old");
  const std::string old = Backup();
  Put("pages", "k", "new");
  const std::string newest = Backup();
  const Report list = Json({"list", "--from", archive_});
  ASSERT_EQ(list.snapshots_size(), 2);
  const auto at = [&](int64_t unix_ms) {
    return absl::FormatTime(absl::RFC3339_full, absl::FromUnixMillis(unix_ms),
                            absl::UTCTimeZone());
  };
  const auto restored = [&](const std::string& time, int exit_code = 0) {
    return Json({"restore", "--from", archive_, "--l2", At("new"), "--dry-run",
                 "--at", time},
                exit_code)
        .snapshot();
  };
  const int64_t first_ms = list.snapshots(0).created_unix_ms();
  const int64_t second_ms = list.snapshots(1).created_unix_ms();
  ASSERT_LT(first_ms, second_ms);
  EXPECT_EQ(restored(at(second_ms)), newest);
  EXPECT_EQ(restored(at(second_ms - 1)), old);
  EXPECT_EQ(restored(at(first_ms)), old);
  restored(at(first_ms - 1), 10);
  restored("1h", 10);

  const ProgramEnd end = Larder({"restore", "--from", archive_, "--l2",
                                 At("new"), "--at", at(second_ms - 1)});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(Larder({"get", "--l2", At("new"), "-n", "pages", "k"}).out, "old");
}

TEST_F(Catalogue, DiffCountsWhatChanged) {
  Put("pages", "gone", "1234");
  Put("pages", "same", "1");
  Put("images", "k", "12");
  const std::string before = Backup();
  ASSERT_EQ(Larder({"del", "--l2", l2_, "-n", "pages", "gone"}).exit_code, 0);
  Put("images", "k", "123");
  Put("images", "new", "12345");
  const std::string after = Backup();

  const Report counts = Json({"diff", archive_, before, after});
  EXPECT_EQ(counts.unchanged(), 1);
  EXPECT_EQ(counts.total().added().bytes_after(), 5);
  EXPECT_EQ(counts.total().removed().bytes_before(), 4);
  EXPECT_EQ(counts.total().changed().bytes_before(), 2);
  ASSERT_EQ(counts.namespaces_size(), 2);
  EXPECT_EQ(counts.namespaces(0).namespace_(), "images");
  EXPECT_EQ(counts.namespaces(1).removed().blobs(), 1);
  EXPECT_EQ(counts.differences_size(), 0);

  EXPECT_EQ(
      Json({"diff", archive_, before, after, "--names"}).differences_size(), 3);
  const Report limited =
      Json({"diff", archive_, before, after, "--limit", "1"});
  ASSERT_EQ(limited.differences_size(), 1);
  EXPECT_EQ(limited.differences(0).change(), "changed");
  EXPECT_EQ(limited.differences(0).key(), "k");
  EXPECT_TRUE(limited.differences_truncated());
  EXPECT_THAT(Larder({"diff", archive_, before, after, "--names"}).out,
              HasSubstr("removed         4 B  pages gone"));
  EXPECT_EQ(Larder({"diff", archive_, before, "nothing"}).exit_code, 10);
}

TEST_F(Catalogue, PruneTellsItsPlanAndActsWhenConfirmed) {
  std::vector<std::string> ids;
  for (const std::string key : {"a", "b", "c"}) {
    Put("pages", key, key);
    ids.push_back(Backup({"--full"}));
  }
  Put("pages", "d", "d");
  ids.push_back(Backup());  // A delta on the third.
  const std::vector<std::string> prune = {"prune", archive_, "--keep-last",
                                          "1"};
  const Report plan = Json(prune);
  EXPECT_FALSE(plan.confirmed());
  EXPECT_EQ(plan.snapshots_removed(), 2);
  ASSERT_EQ(plan.snapshots_size(), 4);
  EXPECT_FALSE(plan.snapshots(1).keep());
  EXPECT_THAT(plan.snapshots(2).reasons(), ElementsAre("base of " + ids[3]));
  EXPECT_EQ(Json({"list", "--from", archive_}).snapshots_size(), 4);
  const ProgramEnd text = Larder(prune);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("--confirm"));
  EXPECT_THAT(text.out, HasSubstr("base of " + ids[3]));

  std::vector<std::string> confirmed = prune;
  confirmed.push_back("--confirm");
  EXPECT_EQ(Json(confirmed).snapshots_removed(), 2);
  EXPECT_EQ(Json({"list", "--from", archive_}).snapshots_size(), 2);
  EXPECT_EQ(Larder({"verify", "--from", archive_}).exit_code, 0);
  ASSERT_EQ(
      Larder({"restore", "--from", archive_, "--l2", At("new")}).exit_code, 0);
  EXPECT_EQ(Larder({"get", "--l2", At("new"), "-n", "pages", "d"}).out, "d");
}

TEST_F(Catalogue, VerdictsAreStoredAndShown) {
  Put("pages", "a", RandomBytes(100'000, 3));
  const std::string id = Backup();
  const std::string pack = path_ + "/packs/" + id + "-000000.pack";
  EXPECT_FALSE(Json({"show", archive_, id}).has_verified());
  EXPECT_THAT(Larder({"list", "--from", archive_}).out, HasSubstr("never"));

  Json({"verify", "--from", archive_, "--quick"});
  EXPECT_EQ(Json({"show", archive_, id}).verified().mode(), "quick");
  const Report sample =
      Json({"verify", "--from", archive_, "--sample", "0.5%"});
  EXPECT_EQ(sample.snapshots(0).packs_read(), 1);
  const Report shown = Json({"show", archive_, id});
  EXPECT_EQ(shown.verified().mode(), "sample");
  EXPECT_EQ(shown.verified().seed(), sample.seed());
  EXPECT_THAT(
      Larder({"verify", "--from", archive_, "--sample", "5%", "--seed", "77"})
          .out,
      HasSubstr("77"));

  FlipByte(pack, 5000);
  EXPECT_EQ(Larder({"verify", "--from", archive_, "--quick"}).exit_code, 0);
  Json({"verify", "--from", archive_}, 12);
  const Report list = Json({"list", "--from", archive_});
  EXPECT_EQ(list.snapshots(0).verified().mode(), "full");
  EXPECT_FALSE(list.snapshots(0).verified().sound());
  EXPECT_THAT(Larder({"list", "--from", archive_}).out, HasSubstr("DAMAGED"));
  EXPECT_THAT(Larder({"show", archive_, id}).out, HasSubstr("DAMAGED"));
}

}  // namespace
}  // namespace larder::tests
