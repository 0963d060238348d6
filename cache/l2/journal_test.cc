#include "cache/l2/journal.h"

#include <gtest/gtest.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/hash.h"
#include "cache/l2/simulated_disk.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kFileBytesMax = 2 * Journal::kGrowBytes;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    for (int i : {0, 1}) {
      files_[i] = *disk_.Open(absl::StrCat("/journal-", i),
                              {.create = true, .size_bytes_max = 1 << 24});
    }
  }
  JournalEntry Entry(uint64_t epoch, uint64_t hlc) {
    return {
        epoch,
        {TombstoneKind::kPrefix, "ns", std::string(hlc % 200, 'p'), Hlc{hlc}},
        0};
  }

  SimulatedDisk disk_;
  std::unique_ptr<File> files_[2];
};

TEST_F(JournalTest, ReadsBackWhatNoCommitHolds) {
  {
    Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
    for (uint64_t hlc = 1; hlc <= 500; ++hlc) {
      ASSERT_TRUE(journal.Append(Entry(hlc <= 250 ? 7 : 8, hlc)).ok());
    }
  }
  const Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
  EXPECT_EQ(journal.ReadAfter(6)->size(), 500);
  EXPECT_EQ(journal.ReadAfter(7)->size(), 250);
  EXPECT_EQ(journal.ReadAfter(8)->size(), 0);
  const auto all = *journal.ReadAfter(6);
  for (uint64_t i = 0; i < 500; ++i) {
    EXPECT_EQ(all[i].tombstone, Entry(7, i + 1).tombstone);
  }
}

TEST_F(JournalTest, ANewEpochOverwritesAndIsNotConfusedByTheOld) {
  Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
  for (uint64_t hlc = 1; hlc <= 100; ++hlc) {
    ASSERT_TRUE(journal.Append(Entry(4, hlc)).ok());
  }
  ASSERT_TRUE(journal.Append(Entry(6, 200)).ok());
  const auto after = *journal.ReadAfter(5);
  ASSERT_EQ(after.size(), 1);
  EXPECT_EQ(after[0].epoch, 6);
}

TEST_F(JournalTest, DamageCostsOnlyWhatItHits) {
  Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
  for (uint64_t hlc = 1; hlc <= 20; ++hlc) {
    ASSERT_TRUE(journal.Append(Entry(2, hlc)).ok());
  }
  std::string byte(1, '\0');
  ASSERT_TRUE(
      files_[0]->ReadAt(Journal::kAlignBytes + 30, absl::MakeSpan(byte)).ok());
  byte[0] ^= 1;
  ASSERT_TRUE(files_[0]->WriteAt(Journal::kAlignBytes + 30, byte).ok());
  EXPECT_EQ(journal.ReadAfter(1)->size(), 19);
}

TEST_F(JournalTest, EndsAtItsLimitUntilACommitOrTheNextEpoch) {
  ASSERT_TRUE(files_[0]->Resize(4 * kFileBytesMax).ok());  // A larger budget's.
  Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
  for (uint64_t epoch = 2; epoch <= 4; ++epoch) {
    EXPECT_FALSE(journal.IsHalfFull());
    uint64_t hlc = 0;
    absl::Status full;
    while (full.ok()) full = journal.Append(Entry(epoch, ++hlc));
    EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
    EXPECT_TRUE(journal.IsHalfFull());
    EXPECT_EQ(files_[epoch % 2]->Size(), kFileBytesMax);
    EXPECT_EQ(journal.ReadAfter(epoch - 1)->size(), hlc - 1);
    journal.NoteCommitted(epoch);
  }
}

TEST_F(JournalTest, WhatACommitIsYetToHoldIsKept) {
  Journal journal(files_[0].get(), files_[1].get(), kFileBytesMax);
  ASSERT_TRUE(journal.Append(Entry(2, 1)).ok());
  journal.Keep();
  EXPECT_TRUE(absl::IsResourceExhausted(journal.Append(Entry(4, 2))));
  EXPECT_EQ(journal.ReadAfter(1)->size(), 1);
  journal.NoteCommitted(3);
  EXPECT_TRUE(journal.Append(Entry(4, 2)).ok());
}

TEST_F(JournalTest, EveryFlippedBitIsNoticed) {
  const std::string good = EncodeJournalEntry(Entry(3, 40));
  EXPECT_EQ(good.size() % Journal::kAlignBytes, 0);
  uint64_t size;
  ASSERT_TRUE(DecodeJournalEntry(good, &size).ok());
  EXPECT_EQ(size, good.size());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_FALSE(DecodeJournalEntry(bad, &size).ok()) << bit;
  }
}

// Found by journal_fuzz.
TEST_F(JournalTest, FieldsBehindTheSizeThatTheChecksumCoversAreRefused) {
  std::string bytes = EncodeJournalEntry(Entry(3, 199));
  ASSERT_GT(bytes.size(), 2 * Journal::kAlignBytes);
  const uint32_t short_bytes = Journal::kAlignBytes;
  std::memcpy(&bytes[12], &short_bytes, sizeof(short_bytes));
  const uint64_t checksum =
      Checksum64(absl::string_view(bytes).substr(8, short_bytes - 8));
  std::memcpy(&bytes[0], &checksum, sizeof(checksum));
  uint64_t size;
  EXPECT_FALSE(DecodeJournalEntry(bytes, &size).ok());
}

}  // namespace
}  // namespace larder::cache::l2
