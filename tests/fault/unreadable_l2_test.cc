// Files on a real disk that cannot be read any more, beside a running cache:
// what lay there is a miss that is counted, and the cache goes on serving and
// taking. A file that is cut off raises the same signal as a bad sector.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/options.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using cache::BlobCache;

constexpr int kBlobs = 300;
constexpr size_t kBytes = 20'000;

class UnreadableL2Test : public ::testing::Test {
 protected:
  UnreadableL2Test()
      : directory_(absl::StrCat(::testing::TempDir(), "/unreadable_l2")) {
    std::filesystem::remove_all(directory_);
    cache::BlobCacheOptions options;
    options.l2_path = directory_;
    options.l2_bytes_max = int64_t{64} << 20;
    options.l1_bytes_max = 1 << 20;
    options.background_commits = false;
    auto opened = BlobCache::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    for (int i = 0; i < kBlobs; ++i) Put(i);
    EXPECT_TRUE(cache_->Flush().ok());
  }
  ~UnreadableL2Test() override {
    cache_.reset();
    std::filesystem::remove_all(directory_);
  }

  static std::string Bytes(int i) {
    return ContentOf(IncompressibleContent(kBytes, static_cast<uint64_t>(i)),
                     kBytes);
  }
  void Put(int i) {
    cache::PutOptions options;
    options.l1_admission = cache::L1Admission::kNever;
    const auto put = cache_->Put("n", absl::StrCat(i), Bytes(i), options);
    EXPECT_TRUE(put.ok()) << put.status();
  }
  // Returns: how many blobs hit; none may have other bytes than it should.
  int Hits() {
    int hits = 0;
    for (int i = 0; i < kBlobs; ++i) {
      const auto hit = cache_->Get("n", absl::StrCat(i));
      if (!hit.has_value()) continue;
      EXPECT_TRUE(hit->bytes() == Bytes(i)) << "blob " << i;
      ++hits;
    }
    return hits;
  }
  void Cut(const char* file, uint64_t bytes) {
    const std::string path = absl::StrCat(directory_, "/", file);
    ASSERT_LT(bytes, std::filesystem::file_size(path));
    ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(bytes)), 0);
  }

  const std::string directory_;
  std::unique_ptr<BlobCache> cache_;
};

TEST_F(UnreadableL2Test, BlobsThatCannotBeReadAreMisses) {
  ASSERT_EQ(Hits(), kBlobs);
  EXPECT_EQ(cache_->Stats().l2.unreadable_pages, 0);
  Cut("blobs", kBlobs / 2 * kBytes);
  const int left = Hits();
  EXPECT_GE(left, kBlobs / 2 - 1);
  EXPECT_LE(left, kBlobs / 2 + 1);
  EXPECT_GT(cache_->Stats().l2.unreadable_pages, 0);
  EXPECT_EQ(cache_->Stats().l2.damaged_reads, kBlobs - left);
  EXPECT_EQ(cache_->Stats().l2.degraded, "");
  // What is put now is there, wherever it lies.
  for (int i = 0; i < kBlobs; ++i) Put(i);
  EXPECT_EQ(Hits(), kBlobs);
  EXPECT_TRUE(cache_->Flush().ok());
  EXPECT_EQ(Hits(), kBlobs);
}

TEST_F(UnreadableL2Test, PagesThatCannotBeReadAreMisses) {
  ASSERT_EQ(Hits(), kBlobs);
  Cut("meta", 4 * 4096);  // All but the superblocks.
  EXPECT_EQ(Hits(), 0);
  EXPECT_GT(cache_->Stats().l2.unreadable_pages, 0);
  EXPECT_GT(cache_->Stats().l2.damaged_reads, 0);
  // A commit would have to change what is lost: it says so, nothing else ends.
  const auto put = cache_->Put("n", "new", "bytes", {});
  EXPECT_TRUE(put.ok()) << put.status();
  EXPECT_FALSE(cache_->Flush().ok());
  EXPECT_NE(cache_->Stats().l2.degraded, "");
  EXPECT_TRUE(cache_->Get("n", "new").has_value());
}

}  // namespace
}  // namespace larder::tests
