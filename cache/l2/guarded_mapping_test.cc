#include "cache/l2/guarded_mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kPage = 4096;

// A file of which somebody else may cut off the end: what lies behind it can
// then not be read, as with a bad sector.
class GuardedMappingTest : public ::testing::Test {
 protected:
  GuardedMappingTest()
      : path_(absl::StrCat(::testing::TempDir(), "/guarded_mapping")),
        fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600)) {
    EXPECT_GE(fd_, 0);
    Write(0, std::string(4 * kPage, 'x'));
  }
  ~GuardedMappingTest() override {
    close(fd_);
    unlink(path_.c_str());
  }

  void Write(uint64_t offset, const std::string& bytes) {
    EXPECT_EQ(
        pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
        static_cast<ssize_t>(bytes.size()));
  }
  void CutTo(uint64_t bytes) {
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0);
  }
  std::unique_ptr<GuardedMapping> Map() {
    auto mapping = GuardedMapping::Map(fd_, 4 * kPage, path_);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    return *std::move(mapping);
  }

  const std::string path_;
  const int fd_;
};

char At(const GuardedMapping& mapping, uint64_t offset) {
  return static_cast<const volatile char*>(mapping.data())[offset];
}

TEST_F(GuardedMappingTest, WhatCannotBeReadReadsAsZeros) {
  const auto mapping = Map();
  EXPECT_EQ(At(*mapping, 3 * kPage), 'x');
  EXPECT_EQ(mapping->unreadable_pages(), 0);
  CutTo(2 * kPage);
  EXPECT_EQ(At(*mapping, 2 * kPage - 1), 'x');
  EXPECT_EQ(At(*mapping, 2 * kPage + 7), '\0');
  EXPECT_EQ(At(*mapping, 3 * kPage - 1), '\0');
  EXPECT_EQ(mapping->unreadable_pages(), 1);
  EXPECT_EQ(At(*mapping, 3 * kPage), '\0');
  EXPECT_EQ(mapping->unreadable_pages(), 2);
}

TEST_F(GuardedMappingTest, WhatIsWrittenShowsAgain) {
  const auto mapping = Map();
  CutTo(0);
  for (uint64_t page = 0; page < 4; ++page) {
    EXPECT_EQ(At(*mapping, page * kPage), '\0');
  }
  CutTo(4 * kPage);
  // Not by itself: it was shown as zeros, and nobody says that it changed.
  EXPECT_EQ(At(*mapping, 0), '\0');
  Write(kPage + 100, std::string(kPage, 'y'));
  EXPECT_EQ(At(*mapping, kPage + 100), '\0');
  mapping->NoteWritten(kPage + 100, kPage);
  EXPECT_EQ(At(*mapping, kPage + 99), '\0');
  EXPECT_EQ(At(*mapping, kPage + 100), 'y');
  EXPECT_EQ(At(*mapping, 2 * kPage + 99), 'y');
  EXPECT_EQ(At(*mapping, 2 * kPage + 100), '\0');
  // What shows the file again may become unreadable again.
  CutTo(kPage);
  EXPECT_EQ(At(*mapping, kPage + 100), '\0');
  EXPECT_EQ(mapping->unreadable_pages(), 5);
}

TEST_F(GuardedMappingTest, ManyThreadsMayMeetTheSamePage) {
  const auto mapping = Map();
  for (int round = 0; round < 50; ++round) {
    CutTo(kPage);
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i) {
      readers.emplace_back([&] {
        for (uint64_t page = 1; page < 4; ++page) {
          EXPECT_EQ(At(*mapping, page * kPage), '\0');
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    CutTo(4 * kPage);
    Write(0, std::string(4 * kPage, 'z'));
    mapping->NoteWritten(0, 4 * kPage);
    for (uint64_t page = 0; page < 4; ++page) {
      EXPECT_EQ(At(*mapping, page * kPage), 'z') << "round " << round;
    }
  }
}

// More than can be told apart.
TEST_F(GuardedMappingTest, ManyPagesShowAgainWhenTheyAreWritten) {
  constexpr uint64_t kPages = 600;
  CutTo(kPages * kPage);
  auto mapped = GuardedMapping::Map(fd_, kPages * kPage, path_);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  CutTo(0);
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(At(**mapped, page * kPage), '\0');
  }
  EXPECT_EQ((*mapped)->unreadable_pages(), static_cast<int64_t>(kPages));
  for (uint64_t page = 0; page < kPages; ++page) {
    Write(page * kPage, "new");
    (*mapped)->NoteWritten(page * kPage, 3);
    EXPECT_EQ(At(**mapped, page * kPage), 'n') << page;
  }
}

TEST_F(GuardedMappingTest, AGoneMappingIsNobodysBusiness) {
  { const auto mapping = Map(); }
  const auto mapping = Map();
  CutTo(0);
  EXPECT_EQ(At(*mapping, 0), '\0');
}

TEST_F(GuardedMappingTest, ThereIsRoomForSoMany) {
  std::vector<std::unique_ptr<GuardedMapping>> mappings;
  for (int i = 0; i < GuardedMapping::kMappingsMax; ++i) {
    auto mapping = GuardedMapping::Map(fd_, kPage, path_);
    ASSERT_TRUE(mapping.ok()) << i << ": " << mapping.status();
    mappings.push_back(*std::move(mapping));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(
      GuardedMapping::Map(fd_, kPage, path_).status()));
  mappings.pop_back();
  EXPECT_TRUE(GuardedMapping::Map(fd_, kPage, path_).ok());
}

// An error of the program's own stays one.
TEST_F(GuardedMappingTest, SigbusElsewhereEndsTheProcess) {
  const auto mapping = Map();
  // By the signal, or by the sanitizer that handled it before us.
  EXPECT_DEATH(
      {
        void* other = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd_,
                           8 * static_cast<off_t>(kPage));
        (void)*static_cast<volatile char*>(other);
      },
      "");
}

}  // namespace
}  // namespace larder::cache::l2
