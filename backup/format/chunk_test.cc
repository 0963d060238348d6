#include "backup/format/chunk.h"

#include <zstd.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

using ::testing::HasSubstr;

ChunkHeader SomeHeader() {
  ChunkHeader header;
  header.type = static_cast<uint8_t>(ChunkType::kRecords);
  header.source = 3;
  header.flags = kFlagCritical;
  header.stream_id = 0x1122334455667788;
  header.sequence = 42;
  return header;
}

absl::string_view HeadOf(const Chunk& chunk) {
  return absl::string_view(chunk.bytes).substr(0, kChunkHeaderBytes);
}

std::string PayloadOf(const Chunk& chunk) {
  return chunk.bytes.substr(kChunkHeaderBytes);
}

// A header with any fields and right checksums, over `payload`.
std::string Forge(ChunkHeader header, const std::string& payload) {
  header.checksum = Checksum128(payload);
  std::string bytes;
  EncodeChunkHeader(header, &bytes);
  return bytes;
}

TEST(ChunkTest, RoundTrip) {
  Compressor compressor(1);
  for (const std::string& payload :
       {std::string(), std::string("short"), std::string(100'000, 'x')}) {
    for (const bool try_compress : {false, true}) {
      const Chunk chunk = compressor.Build(SomeHeader(), payload, try_compress);
      const auto header = DecodeChunkHeader(HeadOf(chunk));
      ASSERT_TRUE(header.ok()) << header.status();
      EXPECT_EQ(header->type, SomeHeader().type);
      EXPECT_EQ(header->source, 3);
      EXPECT_EQ(header->stream_id, 0x1122334455667788u);
      EXPECT_EQ(header->sequence, 42u);
      EXPECT_EQ(header->raw_bytes, payload.size());
      EXPECT_EQ(header->stored_bytes + kChunkHeaderBytes, chunk.bytes.size());
      ASSERT_TRUE(CheckPayload(*header, PayloadOf(chunk)).ok());
      EXPECT_EQ(*DecodePayload(*header, PayloadOf(chunk)), payload);
      EXPECT_EQ((header->flags & kFlagZstd) != 0,
                try_compress && payload.size() > 1000);
    }
  }
}

// The worked example of docs/formats/dump.md.
TEST(ChunkTest, GoldenBytes) {
  Compressor compressor(1);
  const Chunk chunk = compressor.Build(SomeHeader(), "larder", false);
  std::string hex;
  for (const char c : chunk.bytes) {
    absl::StrAppend(&hex, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  }
  EXPECT_EQ(hex,
            "4c44434b0104030001000000060000000600000000000000"
            "88776655443322112a00000000000000"
            "d6c811061926e1998496b3b9f4acb87f"
            "77efbf42da5fa6bf"
            "6c6172646572");
}

TEST(ChunkTest, EveryBitOfTheHeaderCounts) {
  Compressor compressor(1);
  const Chunk chunk = compressor.Build(SomeHeader(), "payload", false);
  for (size_t bit = 0; bit < kChunkHeaderBytes * 8; ++bit) {
    std::string bytes(HeadOf(chunk));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(DecodeChunkHeader(bytes).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(ChunkTest, PayloadIsCheckedBeforeItIsDecoded) {
  Compressor compressor(1);
  const Chunk chunk =
      compressor.Build(SomeHeader(), std::string(10'000, 'y'), true);
  std::string payload = PayloadOf(chunk);
  EXPECT_FALSE(CheckPayload(chunk.header, payload + "x").ok());
  payload[2] = static_cast<char>(payload[2] ^ 4);
  const absl::Status status = CheckPayload(chunk.header, payload);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("vs expected"));
}

TEST(ChunkTest, SizesBeyondTheLimitsAreRefused) {
  ChunkHeader header = SomeHeader();
  header.stored_bytes = header.raw_bytes = kChunkPayloadBytesMax + 1;
  EXPECT_EQ(DecodeChunkHeader(Forge(header, "")).status().code(),
            absl::StatusCode::kDataLoss);
  header.stored_bytes = 10;
  header.raw_bytes = 11;  // Not compressed.
  EXPECT_FALSE(DecodeChunkHeader(Forge(header, "")).ok());
  header.flags |= kFlagZstd;
  EXPECT_TRUE(DecodeChunkHeader(Forge(header, "")).ok());
  header.raw_bytes = kDecodedBytesMax + 1;
  header.stored_bytes = 1 << 20;
  EXPECT_FALSE(DecodeChunkHeader(Forge(header, "")).ok());
  header.raw_bytes = kRatioMax * 4 + 1;
  header.stored_bytes = 4;
  EXPECT_FALSE(DecodeChunkHeader(Forge(header, "")).ok());
}

TEST(ChunkTest, WhatIsUnknownIsRefusedWhenCritical) {
  ChunkHeader header = SomeHeader();
  header.type = 200;
  EXPECT_EQ(DecodeChunkHeader(Forge(header, "")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  header.flags = 0;
  EXPECT_TRUE(DecodeChunkHeader(Forge(header, "")).ok());
  header.flags = 1 << 20;
  EXPECT_TRUE(DecodeChunkHeader(Forge(header, "")).ok());
  header.flags = 1 << 5;
  EXPECT_EQ(DecodeChunkHeader(Forge(header, "")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ChunkTest, ANewerVersionIsRefused) {
  std::string bytes = Forge(SomeHeader(), "");
  bytes[4] = 2;
  StoreFixed<uint64_t>(Checksum64(absl::string_view(bytes).substr(0, 56)),
                       &bytes[56]);
  EXPECT_EQ(DecodeChunkHeader(bytes).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// Frames whose checksums are right and which lie about what they decode to.
class BombTest : public ::testing::Test {
 protected:
  static std::string Compress(const std::string& raw, int window_log) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
    std::string out(ZSTD_compressBound(raw.size()), '\0');
    // In two steps: a frame that is not a single segment names its window.
    ZSTD_CCtx_setPledgedSrcSize(context, raw.size());
    ZSTD_inBuffer in = {raw.data(), raw.size(), 0};
    ZSTD_outBuffer buffer = {out.data(), out.size(), 0};
    ZSTD_compressStream2(context, &buffer, &in, ZSTD_e_flush);
    ZSTD_compressStream2(context, &buffer, &in, ZSTD_e_end);
    ZSTD_freeCCtx(context);
    out.resize(buffer.pos);
    return out;
  }
  static absl::Status Decode(const std::string& stored, uint32_t raw_bytes) {
    ChunkHeader header = SomeHeader();
    header.flags |= kFlagZstd;
    header.stored_bytes = static_cast<uint32_t>(stored.size());
    header.raw_bytes = raw_bytes;
    return DecodePayload(header, stored).status();
  }
};

TEST_F(BombTest, MoreBytesThanTheHeaderSays) {
  const std::string bomb = Compress(std::string(64 << 20, '\0'), 20);
  EXPECT_LT(bomb.size(), 10'000u);
  for (const uint32_t claimed : {1u, 1000u, kDecodedBytesMax}) {
    EXPECT_EQ(Decode(bomb, claimed).code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(BombTest, ALargeWindow) {
  // Larger than its content, so that zstd keeps the window's size.
  const std::string raw(3 << 20, 'w');
  std::string frame = Compress(raw, 21);
  ASSERT_EQ(frame[4] & 0x20, 0);  // Not a single segment: byte 5 is a window.
  EXPECT_TRUE(Decode(frame, 3 << 20).ok());
  frame[5] = static_cast<char>((24 - 10) << 3);
  const absl::Status status = Decode(frame, 3 << 20);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("window"));
}

TEST_F(BombTest, GarbageAndTruncation) {
  const std::string frame = Compress(std::string(5000, 'z'), 20);
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(Decode(frame.substr(0, size), 5000).ok());
  }
  for (size_t i = 0; i < frame.size() * 8; ++i) {
    std::string damaged = frame;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << (i % 8)));
    Decode(damaged, 5000).IgnoreError();  // It must return.
  }
  EXPECT_FALSE(Decode(frame + frame, 5000).ok());
}

TEST(ChunkTest, AForeignStreamComesBeforeANewerVersion) {
  ChunkHeader header;
  header.type = 77;
  header.flags = kFlagCritical;
  header.stream_id = 5;
  std::string bytes;
  EncodeChunkHeader(header, &bytes);
  EXPECT_EQ(DecodeChunkHeader(bytes, 5).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DecodeChunkHeader(bytes, 6).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace larder::backup::format
