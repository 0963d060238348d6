#include "cache/l2/superblock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "cache/l2/hash.h"
#include "cache/l2/simulated_disk.h"

namespace larder::cache::l2 {
namespace {

Superblock Example(uint64_t epoch) {
  Superblock s;
  s.lineage = {1, 2, 3};
  s.ancestors = {{4, 5}, {6}};
  s.epoch = epoch;
  s.hlc = Hlc{77};
  s.records = {5, 4, 0xabc, 9};
  s.system = {6, 4, 0xdef, 2};
  s.record_count = 9;
  s.raw_bytes = 1000;
  s.stored_bytes = 900;
  s.content_digest = absl::MakeUint128(1, 2);
  s.meta_pages = 64;
  s.blob_units = 4096;
  s.unsynced = true;
  s.next_namespace_id = 3;
  return s;
}

class SuperblockTest : public ::testing::Test {
 protected:
  SuperblockTest()
      : meta_(
            *disk_.Open("/meta", {.create = true, .size_bytes_max = 1 << 20})) {
    EXPECT_TRUE(meta_->Resize(64 * kPageBytes).ok());
  }
  void Overwrite(uint64_t page, const std::string& bytes) {
    ASSERT_TRUE(meta_->WriteAt(page * kPageBytes, bytes).ok());
  }
  SimulatedDisk disk_;
  std::unique_ptr<File> meta_;
};

TEST_F(SuperblockTest, NewestSoundOneWins) {
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ReadNewestSuperblock(*meta_).status()));
  ASSERT_TRUE(WriteSuperblock(Example(8), meta_.get()).ok());
  ASSERT_TRUE(WriteSuperblock(Example(9), meta_.get()).ok());
  const auto newest = ReadNewestSuperblock(*meta_);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(EncodeSuperblock(*newest), EncodeSuperblock(Example(9)));
  // One copy damaged: its twin; both: the epoch before; all: an error.
  Overwrite(2, std::string(kPageBytes, 'x'));
  EXPECT_EQ(ReadNewestSuperblock(*meta_)->epoch, 9);
  std::string torn = EncodeSuperblock(Example(9));
  torn.replace(512, 3584, 3584, 't');
  Overwrite(3, torn);
  EXPECT_EQ(ReadNewestSuperblock(*meta_)->epoch, 8);
  for (uint64_t page : {0, 1}) Overwrite(page, torn);
  EXPECT_TRUE(absl::IsDataLoss(ReadNewestSuperblock(*meta_).status()));
}

TEST_F(SuperblockTest, EveryFlippedBitIsNoticed) {
  const std::string good = EncodeSuperblock(Example(8));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_TRUE(absl::IsDataLoss(DecodeSuperblock(bad).status())) << bit;
  }
}

TEST_F(SuperblockTest, AnotherFormatIsRefusedWhateverElseIsThere) {
  for (const uint32_t version : {kFormatVersion - 1, kFormatVersion + 1}) {
    ASSERT_TRUE(WriteSuperblock(Example(8), meta_.get()).ok());
    std::string other = EncodeSuperblock(Example(9));
    other[8] = static_cast<char>(version);
    const uint64_t checksum = Checksum64(other.substr(0, kPageBytes - 8));
    other.replace(kPageBytes - 8, 8, reinterpret_cast<const char*>(&checksum),
                  8);
    Overwrite(2, other);
    const auto read = ReadNewestSuperblock(*meta_);
    EXPECT_TRUE(absl::IsFailedPrecondition(read.status())) << read.status();
    EXPECT_THAT(read.status().message(),
                ::testing::HasSubstr(version > kFormatVersion ? "a newer"
                                                              : "an older"));
  }
}

TEST_F(SuperblockTest, AncestorsAreBounded) {
  Superblock s = Example(9);
  s.ancestors.assign(kAncestorsMax, {7});
  std::string bytes = EncodeSuperblock(s);
  const auto read = DecodeSuperblock(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->ancestors, s.ancestors);
  bytes[244] = static_cast<char>(kAncestorsMax + 1);
  const uint64_t checksum = Checksum64(bytes.substr(0, kPageBytes - 8));
  bytes.replace(kPageBytes - 8, 8, reinterpret_cast<const char*>(&checksum), 8);
  EXPECT_TRUE(absl::IsDataLoss(DecodeSuperblock(bytes).status()));
}

TEST_F(SuperblockTest, LineageText) {
  Lineage lineage{};
  for (uint8_t i = 0; i < 16; ++i) lineage[i] = static_cast<uint8_t>(i * 17);
  const std::string text = "00112233-4455-6677-8899-aabbccddeeff";
  EXPECT_EQ(LineageText(lineage), text);
  EXPECT_EQ(ParseLineage(text), lineage);
  for (const std::string& wrong :
       {std::string(), text + "0", text.substr(1), "g" + text.substr(1),
        "0" + text, "00112233445566778899aabbccddeeff" + std::string(),
        "A" + text.substr(1)}) {
    EXPECT_EQ(ParseLineage(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace larder::cache::l2
