#include "cache/l2/chain.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/status/status.h"
#include "cache/l2/hash.h"
#include "cache/name_hash.h"
#include "cache/policy.h"

namespace larder::cache::l2 {
namespace {

std::string Incompressible(size_t n) {
  std::mt19937_64 random(n);
  std::string s(n, '\0');
  for (char& c : s) c = static_cast<char>(random());
  return s;
}

ChainHeader HeaderFor(const EncodedFrames& frames, uint64_t raw_bytes) {
  ChainHeader h;
  h.name_hash = NameHash("ns", "key");
  h.raw_bytes = raw_bytes;
  h.stored_bytes = frames.stored_bytes;
  h.frames = frames.frames;
  h.tags = {"a", "b"};
  h.metadata = {{"k", std::string(100, 'v')}};
  return h;
}

TEST(ChainTest, FramesRoundTripAtEverySize) {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{1023}, size_t{1024},
                         size_t{kFrameRawBytes - 1}, size_t{kFrameRawBytes},
                         size_t{kFrameRawBytes + 1}, size_t{3'000'000}}) {
    for (const std::string& blob : {std::string(n, 'x'), Incompressible(n)}) {
      const EncodedFrames e = EncodeFrames(blob, 1);
      ASSERT_EQ(e.frames.size(), (n + kFrameRawBytes - 1) / kFrameRawBytes);
      std::string back(n, '\0');
      for (size_t i = 0; i < e.frames.size(); ++i) {
        ASSERT_TRUE(VerifyFrame(e.frames[i], e.stored[i]).ok());
        ASSERT_TRUE(DecodeFrame(e.frames[i], e.stored[i],
                                back.data() + i * kFrameRawBytes)
                        .ok());
      }
      EXPECT_EQ(back, blob);
      EXPECT_LE(e.stored_bytes, n);
      const auto header = DecodeChainHeader(EncodeChainHeader(HeaderFor(e, n)));
      EXPECT_TRUE(header.ok()) << header.status();
    }
  }
}

TEST(ChainTest, CompressesOnlyWhatPays) {
  EXPECT_TRUE(EncodeFrames(std::string(5000, 'x'), 1).frames[0].zstd);
  EXPECT_FALSE(EncodeFrames(Incompressible(5000), 1).frames[0].zstd);
  EXPECT_FALSE(EncodeFrames(std::string(5000, 'x'), 0).frames[0].zstd);
}

TEST(ChainTest, HeaderRefusesEveryCutAndKeepsItsRules) {
  const std::string blob = Incompressible(600'000);
  const EncodedFrames e = EncodeFrames(blob, 1);
  const std::string bytes = EncodeChainHeader(HeaderFor(e, blob.size()));
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeChainHeader(absl::string_view(bytes).substr(0, n)).ok());
  }
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string flipped = bytes;
    flipped[random() % flipped.size()] ^=
        static_cast<char>(1 << (random() % 8));
    const auto h = DecodeChainHeader(flipped);
    if (!h.ok()) continue;
    // Whatever is accepted is consistent: its frames add up.
    uint64_t raw = 0;
    for (const Frame& f : h->frames) raw += f.raw_bytes;
    EXPECT_EQ(raw, h->raw_bytes);
    EXPECT_EQ(EncodeChainHeader(*h), flipped);
  }
}

// Each string below its limit, all together above it: a put would have refused
// them, and so does a reader of dumps.
TEST(ChainTest, HeaderRefusesMoreMetadataThanAPutMayHave) {
  const std::string blob = "some bytes";
  const EncodedFrames e = EncodeFrames(blob, 0);
  ChainHeader h = HeaderFor(e, blob.size());
  h.metadata = {{"a", std::string(kMetadataBytesMax - 2, 'v')}, {"b", ""}};
  EXPECT_TRUE(DecodeChainHeader(EncodeChainHeader(h)).ok());
  h.metadata[1].second = "v";
  EXPECT_FALSE(DecodeChainHeader(EncodeChainHeader(h)).ok());
}

TEST(ChainTest, HostileFramesAreRefusedWithinTheirBound) {
  // Claims 10 bytes and decodes to 100,000: zstd is stopped at the claim.
  const EncodedFrames e = EncodeFrames(std::string(100'000, 'x'), 1);
  Frame lying = e.frames[0];
  lying.raw_bytes = 10;
  std::string out(20, '.');
  EXPECT_TRUE(absl::IsDataLoss(DecodeFrame(lying, e.stored[0], out.data())));
  EXPECT_EQ(out.substr(10), "..........");
  Frame wrong = e.frames[0];
  wrong.checksum ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(VerifyFrame(wrong, e.stored[0])));
  wrong = e.frames[0];
  ++wrong.stored_bytes;
  EXPECT_TRUE(absl::IsDataLoss(VerifyFrame(wrong, e.stored[0])));
}

Record RecordOf(const EncodedFrames& e, uint64_t raw_bytes,
                const std::string& tag) {
  ChainHeader h = HeaderFor(e, raw_bytes);
  h.metadata.clear();
  h.tags.clear();
  if (!tag.empty()) h.tags = {tag};
  return MakeRecord({}, h, EncodeChainHeader(h));
}

TEST(ChainTest, OneFrameAloneNeedsNoHeader) {
  for (const size_t n :
       {size_t{0}, size_t{1}, size_t{5000}, size_t{kFrameRawBytes}}) {
    const std::string blob(n, 'x');
    const EncodedFrames e = EncodeFrames(blob, 1);
    const Record r = RecordOf(e, n, "");
    EXPECT_EQ(r.header_bytes, 0);
    EXPECT_EQ(r.frame_is_zstd, n >= 5000);
    const auto header =
        ChainReader(nullptr, &r, ChainReader::Access::kView).Header(7);
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->raw_bytes, n);
    EXPECT_EQ(header->stored_bytes, e.stored_bytes);
    ASSERT_EQ(header->frames.size(), e.frames.size());
    for (size_t i = 0; i < e.frames.size(); ++i) {
      EXPECT_TRUE(VerifyFrame(header->frames[i], e.stored[i]).ok());
      EXPECT_EQ(header->frames[i].zstd, e.frames[i].zstd);
    }
    EXPECT_GT(RecordOf(e, n, "tag").header_bytes, kChainFixedBytes);
  }
  const std::string two(kFrameRawBytes + 1, 'x');
  EXPECT_GT(RecordOf(EncodeFrames(two, 1), two.size(), "").header_bytes,
            kChainFixedBytes);
}

TEST(ChainTest, AHeaderThatSaysNothingIsRefused) {
  const EncodedFrames e = EncodeFrames(Incompressible(5000), 1);
  ChainHeader h = HeaderFor(e, 5000);
  h.tags = {"t"};
  std::string bytes = EncodeChainHeader(h);
  ASSERT_TRUE(DecodeChainHeader(bytes).ok());
  // Without its attributes.
  bytes.resize(kChainFixedBytes + kChainFrameBytes);
  bytes[4] = static_cast<char>(bytes.size());
  EXPECT_TRUE(absl::IsDataLoss(DecodeChainHeader(bytes).status()));
}

TEST(ChainTest, AnotherBlobsChainIsRefused) {
  const EncodedFrames e = EncodeFrames("bytes", 0);
  ChainHeader h = HeaderFor(e, 5);
  h.tags = {"t"};
  const std::string header = EncodeChainHeader(h);
  Record r = MakeRecord({}, h, header);
  r.inline_chain = header + "bytes";
  const ChainReader chain(nullptr, &r, ChainReader::Access::kView);
  EXPECT_TRUE(chain.Header(h.name_hash).ok());
  EXPECT_TRUE(absl::IsDataLoss(chain.Header(h.name_hash + 1).status()));
}

TEST(ChainTest, NamesDoNotRunIntoEachOther) {
  EXPECT_NE(NameHash("ab", "c"), NameHash("a", "bc"));
}

}  // namespace
}  // namespace larder::cache::l2
