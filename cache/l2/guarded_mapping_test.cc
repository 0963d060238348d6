#include "cache/l2/guarded_mapping.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kPage = 4096;
constexpr char kName[] = "guarded_mapping_test";

// A file of which somebody else may cut off the end: what lies behind it can
// then not be read, as with a bad sector.
class GuardedMappingTest : public ::testing::Test {
 protected:
  GuardedMappingTest() : fd_(memfd_create(kName, MFD_CLOEXEC)) {
    EXPECT_GE(fd_, 0);
    Write(0, std::string(4 * kPage, 'x'));
  }
  ~GuardedMappingTest() override { close(fd_); }

  void Write(uint64_t offset, const std::string& bytes) {
    EXPECT_EQ(
        pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
        static_cast<ssize_t>(bytes.size()));
  }
  void CutTo(uint64_t bytes) {
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0);
  }
  std::unique_ptr<GuardedMapping> Map(uint64_t pages = 4) {
    auto mapping = GuardedMapping::Map(fd_, pages * kPage, kName);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    return *std::move(mapping);
  }

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

// However the two meet: what is written before it is noted is seen after.
TEST_F(GuardedMappingTest, AWriteBesideAFaultIsNotHidden) {
  constexpr int kRounds = 20'000;
  const auto mapping = Map();
  std::atomic<int> written{0};
  std::atomic<int> cut{0};
  std::thread writer([&] {
    for (int round = 1; round <= kRounds; ++round) {
      while (cut.load() != round) std::this_thread::yield();
      // At another time after the fault began each time.
      for (int wait = round * 7 % 5'000; wait > 0; --wait) (void)cut.load();
      Write(kPage, "new");
      mapping->NoteWritten(kPage, 3);
      written.store(round);
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    CutTo(kPage);
    cut.store(round);
    const char seen = At(*mapping, kPage);
    EXPECT_TRUE(seen == 'n' || seen == '\0') << seen;
    while (written.load() != round) std::this_thread::yield();
    EXPECT_EQ(At(*mapping, kPage), 'n') << "round " << round;
  }
  writer.join();
}

// As with a large folio, or blocks smaller than a page, of which only another
// part is bad: the same address would raise the signal for ever.
TEST_F(GuardedMappingTest, WhatCanBeReadButNotMappedIsShown) {
  const int other = memfd_create(kName, MFD_CLOEXEC);
  ASSERT_GE(other, 0);
  const std::string content(2 * kPage + 100, 'y');
  ASSERT_EQ(write(other, content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  const auto mapping = Map();
  CutTo(0);
  // What reads the descriptor reads the other file; what is mapped is cut off.
  ASSERT_EQ(dup2(other, fd_), fd_);
  EXPECT_EQ(At(*mapping, 5), 'y');
  EXPECT_EQ(At(*mapping, 2 * kPage - 1), 'y');
  EXPECT_EQ(At(*mapping, 2 * kPage + 99), 'y');
  EXPECT_EQ(mapping->unreadable_pages(), 0);
  // Behind its end there is nothing to be read either.
  EXPECT_EQ(At(*mapping, 2 * kPage + 100), '\0');
  EXPECT_EQ(mapping->unreadable_pages(), 0);
  EXPECT_EQ(At(*mapping, 3 * kPage), '\0');
  EXPECT_EQ(mapping->unreadable_pages(), 1);
  // A copy, which shows what is written all the same.
  Write(7, "new");
  mapping->NoteWritten(7, 3);
  EXPECT_EQ(At(*mapping, 6), 'y');
  EXPECT_EQ(At(*mapping, 7), 'n');
  close(other);
}

// More than have a place of their own.
TEST_F(GuardedMappingTest, ManyPagesShowAgainWhenTheyAreWritten) {
  constexpr uint64_t kPages = 3 * GuardedMapping::kPagesMax;
  CutTo(kPages * kPage);
  const auto mapping = Map(kPages);
  CutTo(0);
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(At(*mapping, page * kPage), '\0');
  }
  EXPECT_GT(mapping->unreadable_pages(), GuardedMapping::kPagesMax);
  for (uint64_t page = 0; page < kPages; ++page) {
    Write(page * kPage, "new");
    mapping->NoteWritten(page * kPage, 3);
    EXPECT_EQ(At(*mapping, page * kPage), 'n') << page;
  }
  // Lit pages may become unreadable again, and lit again.
  CutTo(0);
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(At(*mapping, page * kPage), '\0');
  }
  Write((kPages - 1) * kPage, "again");
  mapping->NoteWritten((kPages - 1) * kPage, 5);
  EXPECT_EQ(At(*mapping, (kPages - 1) * kPage), 'a');
}

int MappingsOfThisProcess() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  int count = 0;
  while (std::getline(maps, line)) ++count;
  return count;
}

// Each page between two others costs two mappings, of which a process may have
// 65,530.
TEST_F(GuardedMappingTest, ADeadDiskLeavesOthersTheirMappings) {
  constexpr uint64_t kPages = 150'000;
  constexpr int kCostMax =
      2 * (GuardedMapping::kPagesMax + GuardedMapping::kBlocks +
           static_cast<int>(GuardedMapping::kLitMax));
  CutTo(kPages * kPage);
  const auto mapping = Map(kPages);
  const int before = MappingsOfThisProcess();
  CutTo(0);
  for (uint64_t page = 0; page < kPages; page += 2) {
    ASSERT_EQ(At(*mapping, page * kPage), '\0');
  }
  EXPECT_LE(MappingsOfThisProcess() - before, kCostMax);
  CutTo(kPages * kPage);
  int shown = 0;
  for (uint64_t page = 0; page < kPages; page += 2) {
    Write(page * kPage, "new");
    mapping->NoteWritten(page * kPage, 3);
    const char seen = At(*mapping, page * kPage);
    ASSERT_TRUE(seen == 'n' || seen == '\0') << seen;
    if (seen == 'n') ++shown;
  }
  EXPECT_GE(shown, static_cast<int>(GuardedMapping::kLitMax));
  EXPECT_LE(MappingsOfThisProcess() - before, kCostMax);
}

// Takes all the mappings that the process may have, until it is destroyed.
class NoMappingsLeft {
 public:
  NoMappingsLeft()
      : data_(static_cast<char*>(
            mmap(nullptr, kBytes, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    for (uint64_t at = 0; at < kBytes; at += 2 * kPage) {
      if (mprotect(data_ + at, kPage, PROT_READ) != 0) {
        complete_ = true;
        break;
      }
    }
  }
  ~NoMappingsLeft() { munmap(data_, kBytes); }
  bool complete() const { return complete_; }

 private:
  static constexpr uint64_t kBytes = 200'000 * kPage;
  char* const data_;
  bool complete_ = false;
};

TEST_F(GuardedMappingTest, WithoutMappingsAllReadsAsZeros) {
  const auto mapping = Map();
  CutTo(2 * kPage);
  bool complete;
  char seen[2];
  {
    const NoMappingsLeft none;
    complete = none.complete();
    seen[0] = At(*mapping, 2 * kPage);
    seen[1] = At(*mapping, kPage);
  }
  if (!complete) GTEST_SKIP() << "vm.max_map_count is too high to be reached";
  EXPECT_EQ(seen[0], '\0');
  EXPECT_TRUE(seen[1] == '\0' || seen[1] == 'x') << seen[1];
  for (uint64_t page = 0; page < 4; ++page) {
    Write(page * kPage, "new");
    mapping->NoteWritten(page * kPage, 3);
    EXPECT_EQ(At(*mapping, page * kPage), 'n') << page;
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
    auto mapping = GuardedMapping::Map(fd_, kPage, kName);
    ASSERT_TRUE(mapping.ok()) << i << ": " << mapping.status();
    mappings.push_back(*std::move(mapping));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(
      GuardedMapping::Map(fd_, kPage, kName).status()));
  mappings.pop_back();
  EXPECT_TRUE(GuardedMapping::Map(fd_, kPage, kName).ok());
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
