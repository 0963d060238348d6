// kill -9 at random moments of an import, by real processes on a real
// directory: it opens, verifies clean but for orphans, serves nothing torn,
// holds everything that was reported committed, and sheds its orphans.
//
// LARDER_KILLS: how often. LARDER_SEED: when, counted in reported commits and
// in polls of the pipe.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/verify.h"
#include "tests/crash/import_plan.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::BlobCache;

// One importer, from fork to kill.
class Child {
 public:
  Child(const std::string& directory, uint64_t first, uint64_t seed) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const std::string program = absl::StrCat(std::getenv("TEST_SRCDIR"), "/",
                                             std::getenv("TEST_WORKSPACE"),
                                             "/tests/crash/import_child");
    const std::string from = absl::StrCat(first),
                      seed_text = absl::StrCat(seed);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl(program.c_str(), program.c_str(), directory.c_str(), from.c_str(),
            seed_text.c_str(), nullptr);
      _exit(127);
    }
    EXPECT_GT(pid_, 0);
    close(ends[1]);
    pipe_ = ends[0];
  }
  ~Child() { close(pipe_); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Waits until it has reported something, or for so long.
  // Returns: false when it has ended by itself.
  bool Wait(int milliseconds) {
    pollfd wait{pipe_, POLLIN, 0};
    if (poll(&wait, 1, milliseconds) <= 0) return true;
    char buffer[4096];
    const ssize_t n = read(pipe_, buffer, sizeof(buffer));
    if (n > 0) reported_.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  void Kill() {
    kill(pid_, SIGKILL);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "the importer ended by itself: " << status;
    while (Wait(-1)) {
    }
  }

  // Blobs below it are committed, by the last whole line.
  uint64_t committed(uint64_t otherwise) const {
    const size_t end = reported_.rfind('\n');
    if (end == std::string::npos) return otherwise;
    const size_t begin = reported_.rfind('\n', end - 1);
    uint64_t n = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(reported_.substr(begin + 1, end - begin - 1), &n));
    return n;
  }

 private:
  pid_t pid_ = 0;
  int pipe_ = -1;
  std::string reported_;
};

class KillImportTest : public ::testing::Test {
 protected:
  KillImportTest()
      : directory_(absl::StrCat(::testing::TempDir(), "/kill_import")) {
    std::filesystem::remove_all(directory_);
  }
  ~KillImportTest() override { std::filesystem::remove_all(directory_); }

  // Returns: the first blob that may not be there.
  uint64_t CheckContents(BlobCache* cache, uint64_t committed);
  void CheckVerify(bool orphans_allowed);
  void ReclaimOrphans(BlobCache* cache);

  const std::string directory_;
  int64_t orphans_met_ = 0;
};

uint64_t KillImportTest::CheckContents(BlobCache* cache, uint64_t committed) {
  uint64_t end = committed;
  for (uint64_t k = 0; k < kImportKeys; ++k) {
    // The newest blob of the key that was reported; newer ones may be there.
    const bool has_committed = committed > k;
    const uint64_t newest =
        has_committed ? k + (committed - 1 - k) / kImportKeys * kImportKeys : 0;
    const auto hit = cache->Get(kImportNamespace, ImportKey(k));
    EXPECT_TRUE(hit.has_value() || !has_committed) << "key " << k << " is lost";
    if (!hit.has_value()) continue;
    const uint64_t n = hit->attributes().version - 1;
    EXPECT_EQ(n % kImportKeys, k);
    EXPECT_TRUE(!has_committed || n >= newest)
        << "key " << k << " holds blob " << n << ", older than " << newest;
    EXPECT_TRUE(hit->bytes() == ImportBytes(n)) << "key " << k << " is torn";
    end = std::max(end, n + 1);
  }
  return end;
}

void KillImportTest::CheckVerify(bool orphans_allowed) {
  const auto report = cache::VerifyL2(ImportOptions(directory_));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->damaged, ::testing::ElementsAre());
  EXPECT_TRUE(report->clean());
  EXPECT_TRUE(orphans_allowed || report->orphaned_bytes == 0)
      << report->orphaned_bytes;
  if (report->orphaned_bytes > 0) ++orphans_met_;
}

void KillImportTest::ReclaimOrphans(BlobCache* cache) {
  for (bool done = false; !done;) {
    const auto slice = cache->ReclaimOrphansSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    done = slice->done;
  }
}

TEST_F(KillImportTest, NothingCommittedIsLost) {
  std::mt19937_64 random(SeedOr(1));
  const int64_t kills = CountOr("LARDER_KILLS", 200);
  uint64_t next = 0, committed = 0;
  bool created = false;
  for (int64_t i = 0; i < kills; ++i) {
    SCOPED_TRACE(absl::StrCat("kill ", i));
    {
      Child child(directory_, next, random());
      // A few polls that see reports, then a part of one that need not.
      for (uint64_t reports = random() % 6; reports > 0; --reports) {
        ASSERT_TRUE(child.Wait(-1)) << "the importer ended by itself";
      }
      ASSERT_TRUE(child.Wait(static_cast<int>(random() % 25)));
      child.Kill();
      committed = child.committed(committed);
    }
    created |= committed > 0;
    if (!std::filesystem::exists(directory_)) continue;
    if (created) CheckVerify(/*orphans_allowed=*/true);
    {
      cache::BlobCacheOptions options = ImportOptions(directory_);
      options.background_commits = false;
      auto opened = BlobCache::Open(options);
      ASSERT_TRUE(opened.ok()) << opened.status();
      created = true;
      next = committed = CheckContents(opened->get(), committed);
      EXPECT_EQ((*opened)->Stats().l2.damaged_reads, 0);
      if (random() % 2 == 0) continue;  // Orphans may pile up.
      ReclaimOrphans(opened->get());
    }
    CheckVerify(/*orphans_allowed=*/false);
    if (HasFailure()) return;
  }
  std::printf("%lld kills, %lld with orphans, %llu blobs imported\n",
              static_cast<long long>(kills),
              static_cast<long long>(orphans_met_),
              static_cast<unsigned long long>(next));
  EXPECT_TRUE(orphans_met_ > 0 || kills < 20);
}

}  // namespace
}  // namespace larder::tests
