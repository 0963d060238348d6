#include "backup/format/archive_file.h"

#include <limits>
#include <random>
#include <string>

#include "backup/format/checksum.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

using ::testing::HasSubstr;

Manifest SomeManifest() {
  Manifest m;
  m.set_format_version(kFormatVersion);
  m.set_ordinal(1);
  DumpHeader* header = m.mutable_header();
  header->set_format_version(kFormatVersion);
  header->set_snapshot_id("20260101T000000Z-00000001");
  SourceInfo* source = header->add_sources();
  source->set_name("cache");
  source->set_kind(SOURCE_KIND_BLOB_CACHE);
  source->mutable_cache()->set_content_digest(EncodeUint128(5));
  m.mutable_trailer()->set_chunks(9);
  m.mutable_trailer()->set_stream_digest(EncodeUint128(7));
  m.mutable_trailer()->add_sources();
  Pack* pack = m.add_packs();
  pack->set_name(PackName(header->snapshot_id(), 0));
  pack->set_bytes(10'000);
  pack->set_checksum(EncodeUint128(9));
  pack->set_chunks(10);
  return m;
}

// A manifest whose envelope is right, whatever it says.
template <typename Change>
absl::Status After(Change change) {
  Manifest m = SomeManifest();
  change(&m);
  return DecodeManifest(EncodeManifest(m)).status();
}

TEST(ArchiveFileTest, ManifestRoundTrip) {
  const auto decoded = DecodeManifest(EncodeManifest(SomeManifest()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(SerializeMessage(*decoded), SerializeMessage(SomeManifest()));
}

TEST(ArchiveFileTest, AMissingChecksumIsAnError) {
  const auto lost = absl::StatusCode::kDataLoss;
  EXPECT_EQ(
      After([](Manifest* m) { m->mutable_packs(0)->clear_checksum(); }).code(),
      lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_trailer()->set_stream_digest("short");
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_folded_from()->set_digest("short");
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_header()
                  ->mutable_sources(0)
                  ->mutable_cache()
                  ->clear_content_digest();
            }).code(),
            lost);
}

TEST(ArchiveFileTest, FieldsAreCheckedAgainstEachOther) {
  const auto lost = absl::StatusCode::kDataLoss;
  EXPECT_EQ(After([](Manifest* m) { m->clear_packs(); }).code(), lost);
  EXPECT_EQ(
      After([](Manifest* m) { m->mutable_packs(0)->set_chunks(9); }).code(),
      lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_packs(0)->set_chunks(UINT64_MAX);
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_packs(0)->set_bytes(kPackBytesMax + 1);
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_packs(0)->set_name("../../etc/passwd");
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_header()->set_snapshot_id("../x");
            }).code(),
            lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_header()->mutable_sources(0)->set_name("a/b");
            }).code(),
            lost);
  EXPECT_EQ(
      After([](Manifest* m) { m->mutable_trailer()->clear_sources(); }).code(),
      lost);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_header()
                  ->mutable_sources(0)
                  ->mutable_cache()
                  ->set_tombstones(int64_t{1} << 40);
            }).code(),
            lost);
}

TEST(ArchiveFileTest, WhatIsNewerIsRefused) {
  const auto newer = absl::StatusCode::kFailedPrecondition;
  EXPECT_EQ(After([](Manifest* m) { m->set_format_version(2); }).code(), newer);
  EXPECT_EQ(After([](Manifest* m) {
              m->mutable_header()->mutable_limits()->set_frame_bytes_max(
                  kFrameBytesMax + 1);
            }).code(),
            newer);
}

TEST(ArchiveFileTest, ADeltaNamesItsBase) {
  const auto delta = [](uint64_t base_epoch, const std::string& base_id) {
    return After([&](Manifest* m) {
      CacheInfo* cache =
          m->mutable_header()->mutable_sources(0)->mutable_cache();
      cache->set_epoch(5);
      cache->set_base_epoch(base_epoch);
      m->mutable_header()->set_base_snapshot_id(base_id);
    });
  };
  EXPECT_TRUE(delta(5, "base-1").ok()) << delta(5, "base-1");
  EXPECT_TRUE(absl::IsDataLoss(delta(6, "base-1")));
  EXPECT_TRUE(absl::IsDataLoss(delta(5, "")));
  EXPECT_TRUE(absl::IsDataLoss(delta(5, "../base")));
  EXPECT_TRUE(absl::IsDataLoss(delta(0, "base-1")));
}

TEST(ArchiveFileTest, PackHeads) {
  const PackHead head{.index = 3, .stream_id = 7, .first_sequence = 99};
  const std::string bytes = EncodePackHead(head);
  const auto decoded = DecodePackHead(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->index, 3u);
  EXPECT_EQ(decoded->stream_id, 7u);
  EXPECT_EQ(decoded->first_sequence, 99u);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(DecodePackHead(damaged).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(ArchiveFileTest, ErrorsNameFoundAndExpected) {
  std::string bytes = EncodeManifest(SomeManifest());
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  EXPECT_THAT(std::string(DecodeManifest(bytes).status().message()),
              HasSubstr("vs expected"));
}

TEST(ArchiveFileTest, NumbersThatCannotBeAreErrors) {
  const auto lost = absl::StatusCode::kDataLoss;
  const auto totals = [](Manifest* m) {
    return m->mutable_trailer()->mutable_sources(0)->mutable_totals();
  };
  const auto cache = [](Manifest* m) {
    return m->mutable_header()->mutable_sources(0)->mutable_cache();
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(After([&](Manifest* m) {
              totals(m)->set_records_begun(3);
              totals(m)->set_records(2);
              totals(m)->set_stored_bytes(9'000);
              totals(m)->set_raw_bytes(90'000);
              m->set_ordinal(kOrdinalMax);
              cache(m)->set_hlc(kHlcMax);
            }),
            absl::OkStatus());
  EXPECT_EQ(After([](Manifest* m) { m->set_ordinal(~uint64_t{0}); }).code(),
            lost);
  EXPECT_EQ(After([&](Manifest* m) { cache(m)->set_hlc(kHlcMax + 1); }).code(),
            lost);
  EXPECT_EQ(After([&](Manifest* m) { cache(m)->set_records(-1); }).code(),
            lost);
  EXPECT_EQ(
      After([&](Manifest* m) { totals(m)->set_records_begun(-1); }).code(),
      lost);
  EXPECT_EQ(After([&](Manifest* m) { totals(m)->set_files(-1); }).code(), lost);
  EXPECT_EQ(After([&](Manifest* m) { totals(m)->set_records(1); }).code(),
            lost);
  EXPECT_EQ(
      After([&](Manifest* m) { totals(m)->set_records_begun(kMost); }).code(),
      lost);
  EXPECT_EQ(
      After([&](Manifest* m) { totals(m)->set_files_begun(kMost); }).code(),
      lost);
  EXPECT_EQ(
      After([&](Manifest* m) { totals(m)->set_stored_bytes(10'001); }).code(),
      lost);
  EXPECT_EQ(After([&](Manifest* m) { totals(m)->set_raw_bytes(kMost); }).code(),
            lost);
  EXPECT_EQ(After([&](Manifest* m) {
              totals(m)->set_file_bytes_begun(kMost);
            }).code(),
            lost);
}

}  // namespace
}  // namespace larder::backup::format
