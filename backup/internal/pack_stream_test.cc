#include "backup/internal/pack_stream.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup_internal {
namespace {

using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::kChunkHeaderBytes;
using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;
using ::testing::Le;

constexpr uint64_t kStream = 0x1234;

// One pack of whatever bytes.
class PackStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(disk_.CreateDirectories("/archive/packs").ok());
    ASSERT_TRUE(disk_.CreateDirectories("/archive/manifests").ok());
    bytes_ = backup::format::EncodePackHead(
        {.index = 0, .stream_id = kStream, .first_sequence = 0});
    disk_.SetHook([this](const SimulatedDisk::Operation& operation) {
      if (operation.kind == SimulatedDisk::OperationKind::kRead) {
        bytes_read_ += operation.length;
        if (bytes_read_ > cancel_after_) cancellation_.Cancel();
      }
      return absl::OkStatus();
    });
  }
  void AddChunk(uint64_t sequence, const std::string& payload) {
    bytes_ += backup::format::FinishChunk(
                  {.type = static_cast<uint8_t>(ChunkType::kNames),
                   .stream_id = kStream,
                   .sequence = sequence},
                  backup::format::PackInPlace(
                      std::string(kChunkHeaderBytes, '\0') + payload),
                  backup::format::DumpSeal())
                  .bytes;
  }
  // Reads all that the manifest says, in as many chunks.
  void Run(uint64_t chunks, uint64_t manifest_bytes) {
    manifest_.mutable_header()->set_stream_id(kStream);
    manifest_.mutable_trailer()->set_chunks(chunks);
    backup::format::Pack* pack = manifest_.add_packs();
    pack->set_name("x-000000.pack");
    pack->set_bytes(manifest_bytes);
    pack->set_checksum(backup::format::EncodeUint128(0));
    pack->set_chunks(chunks);
    {
      auto file = disk_.Open("/archive/packs/x-000000.pack", {.create = true});
      ASSERT_TRUE(file.ok()) << file.status();
      ASSERT_TRUE(
          (*file)->Resize(std::max<uint64_t>(file_bytes_, bytes_.size())).ok());
      ASSERT_TRUE((*file)->WriteAt(0, bytes_).ok());
    }
    const auto archive = backup::Archive::Open("/archive", &disk_);
    ASSERT_TRUE(archive.ok()) << archive.status();
    bytes_read_ = 0;
    PackStream stream(
        &*archive, &manifest_, nullptr, [](const absl::Status&) {},
        &cancellation_);
    while (true) {
      absl::StatusOr<StreamItem> item = stream.Next();
      status_ = item.status();
      if (!item.ok() || item->kind == StreamItem::Kind::kEnd) return;
      items_.push_back(*std::move(item));
    }
  }

  SimulatedDisk disk_;
  std::string bytes_;
  uint64_t file_bytes_ = 0;  // Of the file, if it is longer.
  uint64_t bytes_read_ = 0;
  uint64_t cancel_after_ = ~uint64_t{0};
  backup::Cancellation cancellation_;
  backup::format::Manifest manifest_;
  std::vector<StreamItem> items_;
  absl::Status status_;
};

TEST_F(PackStreamTest, NothingBehindTheSizeInTheManifestIsRead) {
  AddChunk(0, "payload");
  const uint64_t manifest_bytes = bytes_.size() + 100;
  bytes_ += std::string(100, 'x');
  AddChunk(1, "behind the end");
  file_bytes_ = 64 << 20;
  Run(2, manifest_bytes);
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_EQ(items_.size(), 2u);
  EXPECT_EQ(items_[0].payload, "payload");
  EXPECT_EQ(items_[1].kind, StreamItem::Kind::kGap);
  EXPECT_THAT(bytes_read_, Le(3 * manifest_bytes));
}

TEST_F(PackStreamTest, ASearchCanBeCancelled) {
  bytes_ += std::string(64 << 20, 'x');
  cancel_after_ = 3 << 20;
  Run(2, bytes_.size());
  EXPECT_EQ(status_.code(), absl::StatusCode::kCancelled) << status_;
  EXPECT_THAT(bytes_read_, Le(uint64_t{6} << 20));
}

// Each header claims all that follows it, so each payload would be read only to
// prove wrong.
TEST_F(PackStreamTest, LyingHeadersCostNoQuadraticTime) {
  constexpr uint64_t kChunks = 5'000;
  for (uint64_t i = 0; i < kChunks; ++i) {
    const uint32_t rest =
        static_cast<uint32_t>((kChunks - 1 - i) * kChunkHeaderBytes);
    backup::format::EncodeChunkHeader(
        {.type = static_cast<uint8_t>(ChunkType::kNames),
         .stored_bytes = rest,
         .raw_bytes = rest,
         .stream_id = kStream,
         .sequence = i,
         .checksum = 1},
        &bytes_);
  }
  Run(kChunks, bytes_.size());
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_FALSE(items_.empty());
  const StreamItem& last = items_.back();
  EXPECT_EQ(last.gap_first + last.gap_count, kChunks);
  EXPECT_THAT(std::string(last.reason.message()), HasSubstr("in vain"));
  EXPECT_THAT(bytes_read_, Le(8 * bytes_.size()));
}

// Every second header is gone: the search must find all the others.
TEST_F(PackStreamTest, MuchDamageIsNoLie) {
  constexpr uint64_t kChunks = 400;
  for (uint64_t i = 0; i < kChunks; ++i) {
    const size_t at = bytes_.size();
    AddChunk(i, std::string(300, static_cast<char>(i)));
    // The payloads of the rest are wrong.
    if (i % 4 == 1) bytes_[at + 40] = static_cast<char>(~bytes_[at + 40]);
    if (i % 4 == 3) bytes_.back() = static_cast<char>(~bytes_.back());
  }
  Run(kChunks, bytes_.size());
  ASSERT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(items_.size(), kChunks);
  EXPECT_EQ(std::count_if(items_.begin(), items_.end(),
                          [](const StreamItem& item) {
                            return item.kind == StreamItem::Kind::kChunk;
                          }),
            static_cast<std::ptrdiff_t>(kChunks / 2));
}

// A stored blob may look like anything, also like a newer archive's chunk.
TEST_F(PackStreamTest, ForeignHeadersOfANewerVersionAreOnlyBytes) {
  std::string foreign;
  backup::format::EncodeChunkHeader(
      {.type = 77, .flags = 0xff, .stream_id = kStream + 1}, &foreign);
  AddChunk(0, "payload");
  const size_t damaged = bytes_.size();
  AddChunk(1, foreign);
  AddChunk(2, "more");
  bytes_[damaged] = 'x';
  Run(3, bytes_.size());
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_EQ(items_.size(), 3u);
  EXPECT_EQ(items_[1].kind, StreamItem::Kind::kGap);
  EXPECT_EQ(items_[2].payload, "more");
}

}  // namespace
}  // namespace larder::backup_internal
