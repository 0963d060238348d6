#include "replication/term_store.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/format/coding.h"
#include "backup/small_file.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/limits.h"

namespace larder::replication {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;

TEST(TermStoreTest, LowerTermsAreRefusedAlsoAfterAPowerCut) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/r").ok());
  ASSERT_TRUE(disk.SyncDirectory("/").ok());
  {
    auto terms = TermStore::Open(&disk, "/r");
    ASSERT_TRUE(terms.ok()) << terms.status();
    EXPECT_EQ((*terms)->highest(), 0u);
    EXPECT_TRUE((*terms)->Admit(1).ok());
    EXPECT_TRUE((*terms)->Admit(5).ok());
    EXPECT_TRUE((*terms)->Admit(5).ok());
    EXPECT_EQ((*terms)->Admit(0).code(), absl::StatusCode::kInvalidArgument);
  }
  disk.PowerCut(7);
  auto terms = TermStore::Open(&disk, "/r");
  ASSERT_TRUE(terms.ok()) << terms.status();
  EXPECT_EQ((*terms)->highest(), 5u);
  const absl::Status refused = (*terms)->Admit(4);
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("term 4 vs 5"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("stop this one"));
  EXPECT_EQ((*terms)->Check(4).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE((*terms)->Check(6).ok());
  EXPECT_EQ((*terms)->highest(), 5u);
}

TEST(TermStoreTest, AnAdmittedTermSurvivesAFaultAtEveryOperation) {
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at));
    SimulatedDisk disk;
    ASSERT_TRUE(disk.CreateDirectories("/r").ok());
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    auto terms = TermStore::Open(&disk, "/r");
    ASSERT_TRUE((*terms)->Admit(1).ok());
    const uint64_t before = disk.operation_count();
    disk.InjectFault(before + at, SimulatedDisk::Fault::Fail(EIO));
    const bool admitted = (*terms)->Admit(2).ok();
    if (disk.operation_count() <= before + at) {  // Beyond the last one.
      EXPECT_GT(at, 3u);
      break;
    }
    EXPECT_EQ((*terms)->highest(), admitted ? 2u : 1u);
    terms->reset();
    disk.PowerCut(at);
    terms = TermStore::Open(&disk, "/r");
    ASSERT_TRUE(terms.ok()) << terms.status();
    EXPECT_GE((*terms)->highest(), admitted ? 2u : 1u);
  }
}

TEST(TermStoreTest, TermsAreBounded) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/r").ok());
  const auto terms = *TermStore::Open(&disk, "/r");
  for (const uint64_t term : {kTermMax + 1, UINT64_MAX}) {
    EXPECT_TRUE(absl::IsInvalidArgument(terms->Admit(term))) << term;
    EXPECT_TRUE(absl::IsInvalidArgument(terms->Check(term))) << term;
  }
  EXPECT_EQ(terms->highest(), 0u);
  EXPECT_TRUE(terms->Admit(kTermMax).ok());
  EXPECT_EQ((*TermStore::Open(&disk, "/r"))->highest(), kTermMax);
  std::string more;
  backup::format::AppendFixed<uint64_t>(kTermMax + 1, &more);
  ASSERT_TRUE(backup::WriteSmallFile(&disk, "/r", "term", more).ok());
  EXPECT_TRUE(absl::IsDataLoss(TermStore::Open(&disk, "/r").status()));
}

TEST(TermStoreTest, NoHigherTermIsAdmittedWhileAStepIsTaken) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/r").ok());
  const auto terms = *TermStore::Open(&disk, "/r");
  ASSERT_TRUE(terms->Admit(1).ok());
  std::atomic<bool> is_called{false}, is_admitted{false};
  std::thread higher;
  EXPECT_TRUE(terms
                  ->RunUnfenced(1,
                                [&] {
                                  higher = std::thread([&] {
                                    is_called = true;
                                    EXPECT_TRUE(terms->Admit(2).ok());
                                    is_admitted = true;
                                  });
                                  while (!is_called) std::this_thread::yield();
                                  for (int i = 0; i < 1000; ++i) {
                                    std::this_thread::yield();
                                  }
                                  EXPECT_FALSE(is_admitted);
                                  // Who comes again is not kept waiting.
                                  std::thread same([&] {
                                    EXPECT_TRUE(terms->Admit(1).ok());
                                    EXPECT_TRUE(terms->Check(1).ok());
                                  });
                                  same.join();
                                  return absl::OkStatus();
                                })
                  .ok());
  higher.join();
  EXPECT_EQ(terms->highest(), 2u);
  bool is_taken = false;
  EXPECT_TRUE(absl::IsPermissionDenied(terms->RunUnfenced(1, [&] {
    is_taken = true;
    return absl::OkStatus();
  })));
  EXPECT_FALSE(is_taken);
}

TEST(TermStoreTest, ADamagedTermIsNotForgotten) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/r").ok());
  ASSERT_TRUE((*TermStore::Open(&disk, "/r"))->Admit(3).ok());
  for (uint64_t byte = 0; byte < 16; ++byte) {
    ASSERT_TRUE(disk.FlipBit("/r/term", byte, 2).ok());
    EXPECT_EQ(TermStore::Open(&disk, "/r").status().code(),
              absl::StatusCode::kDataLoss);
    ASSERT_TRUE(disk.FlipBit("/r/term", byte, 2).ok());
  }
  EXPECT_EQ((*TermStore::Open(&disk, "/r"))->highest(), 3u);
}

}  // namespace
}  // namespace larder::replication
