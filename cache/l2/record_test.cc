#include "cache/l2/record.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/status/status.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {
namespace {

Record Example() {
  Record r;
  r.hlc = Hlc{0x18b0'0000'0000'0001};
  r.rank = kRankMin + 300;
  r.expiry = {1'700'000'000'000, 60'000, 500};
  r.last_access_unix_ms = 1'600'000'000'000;
  r.version = 99;
  r.priority = 3;
  r.l1_admission = L1Admission::kNever;
  r.raw_bytes = 5000;
  r.stored_bytes = 2000;
  r.header_bytes = 56;
  r.payload_checksum = 0x1234'5678'9abc'def0;
  r.invalidation_hashes = {1, 2, 3};
  r.extents = {{7, 10}, {100, 7}};  // 17 units for 2,056 bytes.
  return r;
}

// As most are.
Record Plain() {
  Record r;
  r.hlc = Hlc{0x18b0'0000'0000'0001};
  r.rank = r.hlc.value;
  r.last_access_unix_ms = r.hlc.unix_millis();
  r.raw_bytes = r.stored_bytes = 5000;
  r.payload_checksum = 0x1234'5678'9abc'def0;
  r.extents = {{300, 40}};
  return r;
}

void ExpectEqual(const Record& a, const Record& b) {
  EXPECT_EQ(EncodeRecord(a), EncodeRecord(b));
  EXPECT_EQ(a.hlc, b.hlc);
  EXPECT_EQ(a.rank, b.rank);
  EXPECT_EQ(a.expiry, b.expiry);
  EXPECT_EQ(a.extents, b.extents);
  EXPECT_EQ(a.inline_chain, b.inline_chain);
  EXPECT_EQ(a.invalidation_hashes, b.invalidation_hashes);
}

TEST(RecordTest, RoundTrip) {
  const Record r = Example();
  const auto back = DecodeRecord(EncodeRecord(r));
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectEqual(*back, r);
  Record in_leaf = r;
  in_leaf.extents.clear();
  in_leaf.raw_bytes = in_leaf.stored_bytes = 100;
  in_leaf.inline_chain = std::string(156, 'c');
  const auto inline_back = DecodeRecord(EncodeRecord(in_leaf));
  ASSERT_TRUE(inline_back.ok()) << inline_back.status();
  ExpectEqual(*inline_back, in_leaf);
}

TEST(RecordTest, DueEntries) {
  Record r = Example();
  EXPECT_TRUE(DueEntryOf(r).idle_limited);
  EXPECT_EQ(DueEntryOf(r).disk_bytes, 17 * kUnitBytes);
  r.expiry.idle_ttl_ms = 0;
  r.extents.clear();
  r.inline_chain = std::string(156, 'c');
  const auto back = DecodeDueEntry(EncodeDueEntry(DueEntryOf(r)));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_FALSE(back->idle_limited);
  EXPECT_EQ(back->disk_bytes, 156);
  for (const std::string& bad :
       {std::string(), std::string(1, '\0'), std::string("\2\1"),
        std::string("\0\1\1", 3), "\1" + std::string(9, '\xff')}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeDueEntry(bad).status())) << bad;
  }
}

TEST(RecordTest, OnlyReadsPutAnIdleTtlOff) {
  Record r = Plain();
  EXPECT_FALSE(MayHaveBeenPutOff(EncodeRecord(r)));
  r.last_access_unix_ms += 1;
  EXPECT_FALSE(MayHaveBeenPutOff(EncodeRecord(r)));  // No idle TTL.
  r.expiry.idle_ttl_ms = 60'000;
  EXPECT_TRUE(MayHaveBeenPutOff(EncodeRecord(r)));
  r.last_access_unix_ms -= 1;
  EXPECT_FALSE(MayHaveBeenPutOff(EncodeRecord(r)));
  EXPECT_FALSE(MayHaveBeenPutOff(""));
}

TEST(RecordTest, EveryCutIsRefused) {
  const std::string bytes = EncodeRecord(Example());
  for (size_t n = 0; n < bytes.size(); ++n) {
    const auto r = DecodeRecord(absl::string_view(bytes).substr(0, n));
    EXPECT_TRUE(absl::IsDataLoss(r.status())) << n;
  }
  EXPECT_FALSE(DecodeRecord(bytes + "x").ok());
}

TEST(RecordTest, AnyBytesDecodeToThemselvesOrNotAtAll) {
  std::mt19937_64 random(1);
  const std::string good = EncodeRecord(Example());
  int decoded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int flips = static_cast<int>(random() % 3) + 1; flips > 0; --flips) {
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << (random() % 8));
    }
    const auto r = DecodeRecord(bytes);
    if (!r.ok()) continue;
    ++decoded;
    const auto again = DecodeRecord(EncodeRecord(*r));
    ASSERT_TRUE(again.ok());
    ExpectEqual(*again, *r);
  }
  EXPECT_GT(decoded, 0);
}

TEST(RecordTest, ImpossibleFieldsAreRefused) {
  Record r = Example();
  r.extents = {{7, 10}, {100, 6}};  // One unit short.
  EXPECT_FALSE(DecodeRecord(EncodeRecord(r)).ok());
  r = Example();
  r.stored_bytes = r.raw_bytes + 1;
  EXPECT_FALSE(DecodeRecord(EncodeRecord(r)).ok());
  r = Example();
  r.frame_is_zstd = true;  // With a header, that says it.
  EXPECT_FALSE(DecodeRecord(EncodeRecord(r)).ok());
  r = Plain();
  r.stored_bytes = r.raw_bytes - 1;  // As it is, and yet shorter.
  EXPECT_FALSE(DecodeRecord(EncodeRecord(r)).ok());
  r = Plain();
  r.raw_bytes = r.stored_bytes = kFrameRawBytes + 1;  // More than one frame.
  r.extents = {{7, kFrameRawBytes / kUnitBytes + 1}};
  EXPECT_FALSE(DecodeRecord(EncodeRecord(r)).ok());
}

TEST(RecordTest, APlainRecordIsShort) {
  const Record r = Plain();
  const std::string bytes = EncodeRecord(r);
  // Flags, HLC and checksum; two bytes each of size and place.
  EXPECT_EQ(bytes.size(), 18 + 2 + 2);
  const auto back = DecodeRecord(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectEqual(*back, r);
  EXPECT_EQ(back->last_access_unix_ms, r.last_access_unix_ms);
  EXPECT_EQ(back->allocated_units(), 40);
}

// One record has one encoding: a field that has its usual value is not there.
TEST(RecordTest, UsualValuesThatAreSpelledOutAreRefused) {
  std::string bytes = EncodeRecord(Plain());
  bytes[1] |= 1;              // There is a version,
  bytes.insert(20, 1, '\0');  // behind the size: none.
  EXPECT_TRUE(absl::IsDataLoss(DecodeRecord(bytes).status()));
  bytes[20] = '\1';
  EXPECT_TRUE(DecodeRecord(bytes).ok()) << DecodeRecord(bytes).status();
  bytes[1] |= '\x80';  // A flag that nobody knows.
  EXPECT_TRUE(absl::IsDataLoss(DecodeRecord(bytes).status()));
}

TEST(RecordTest, LargestEntryFitsAPage) {
  Record r = Example();
  const uint64_t max = ~uint64_t{0};
  r.rank = max;
  r.hlc = Hlc{0};
  r.expiry = {INT64_MAX, INT64_MAX, INT64_MAX};
  r.last_access_unix_ms = (int64_t{1} << 48) - 1;
  r.version = max;
  r.raw_bytes = kBlobBytesMax;
  r.stored_bytes = kBlobBytesMax;
  r.invalidation_hashes.assign(kTagsMax + kDependenciesMax, max);
  for (const size_t key_bytes : {size_t{1}, size_t{kKeyBytesMax}}) {
    for (const size_t hashes : {size_t{0}, r.invalidation_hashes.size()}) {
      r.invalidation_hashes.resize(hashes);
      const std::string key(kNamespaceIdBytes + key_bytes, 'k');
      r.extents.assign(ExtentsMaxOf(key, r), Extent{max / kUnitBytes / 2, ~0u});
      EXPECT_LE(EncodeRecord(r).size() + key.size(), kEntryBytesMax);
    }
  }
}

TEST(RecordTest, LargeChainsMayLieInMorePieces) {
  Record r = Example();
  r.stored_bytes = 16 * 1024;
  EXPECT_EQ(ExtentsMaxOf("k", r), 8);
  r.stored_bytes = 256 * 1024;
  EXPECT_EQ(ExtentsMaxOf("k", r), 32);
  r.stored_bytes = kBlobBytesMax;
  EXPECT_EQ(ExtentsMaxOf("k", r), kExtentsMax);
  EXPECT_LT(ExtentsMaxOf(std::string(kKeyBytesMax, 'k'), r), kExtentsMax);
}

TEST(RecordTest, KeysSortAsNumbersAndSplitBack) {
  EXPECT_LT(RecordKey(1, "z"), RecordKey(2, "a"));
  EXPECT_LT(RecordKey(255, "z"), RecordKey(256, "a"));
  EXPECT_LT(OrderedKey(255, "z"), OrderedKey(256, "a"));
  uint32_t id;
  absl::string_view key;
  const std::string record_key = RecordKey(77, "k");
  ASSERT_TRUE(SplitRecordKey(record_key, &id, &key));
  EXPECT_EQ(id, 77);
  EXPECT_EQ(key, "k");
  EXPECT_FALSE(SplitRecordKey("abcd", &id, &key));
  uint64_t at;
  const std::string ordered = OrderedKey(5, record_key);
  ASSERT_TRUE(SplitOrderedKey(ordered, &at, &key));
  EXPECT_EQ(at, 5);
  EXPECT_EQ(key, record_key);
}

TEST(RecordTest, DigestIgnoresPlaceAndReads) {
  const Record a = Example();
  Record b = a;
  b.extents = {{900, 17}};
  b.last_access_unix_ms += 5;
  b.rank += 5;
  EXPECT_EQ(DigestTerm("ns", "k", a), DigestTerm("ns", "k", b));
  b.payload_checksum ^= 1;
  EXPECT_NE(DigestTerm("ns", "k", a), DigestTerm("ns", "k", b));
  EXPECT_NE(DigestTerm("ns", "k", a), DigestTerm("nsk", "", a));
}

}  // namespace
}  // namespace larder::cache::l2
