#include "backup/format/chunk.h"

#include <zstd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/crypto/secret_key.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "backup/format/dump_seal.h"
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
      EXPECT_EQ(*DecodePayload(*header, PayloadOf(chunk), DumpSeal()), payload);
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
  for (const uint32_t unknown : {3, 5, 15}) {
    header.flags = 1u << unknown;
    EXPECT_EQ(DecodeChunkHeader(Forge(header, "")).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
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

// Master key 00 to 1f, salt 64 to 83.
DumpSeal SomeSeal(uint64_t stream_id) {
  std::string key;
  std::string salt;
  for (char c = 0; c < 32; ++c) {
    key.push_back(c);
    salt.push_back(static_cast<char>(c + 100));
  }
  return DumpSeal(crypto::SecretKey(key), salt, stream_id);
}

// The second worked example of docs/formats/dump.md. The payload is what
// Python's "cryptography" makes of it:
//
//   k = HKDF(SHA256(), 32, bytes(range(100, 132)),
//            b"larder dump 1" + struct.pack("<Q", 0x1122334455667788))
//   AESGCM(k.derive(bytes(range(32)))).encrypt(
//       struct.pack("<QI", 42, 0), b"larder", chunk[:40])
TEST(SealedChunkTest, GoldenBytes) {
  Compressor compressor(1);
  const Chunk chunk = compressor.Build(SomeHeader(), "larder", false,
                                       SomeSeal(SomeHeader().stream_id));
  std::string hex;
  for (const char c : chunk.bytes) {
    absl::StrAppend(&hex, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  }
  EXPECT_EQ(hex,
            "4c44434b0104030005000000160000000600000000000000"
            "88776655443322112a00000000000000"
            "741d2a49cd16f6de1037bb3858fe8030"
            "c1f7a3749abdfda0"
            "d7c9a6ec5358"
            "63a7e25519ba08aa9b5d3be6d4ac1b11");
}

TEST(SealedChunkTest, RoundTrip) {
  Compressor compressor(1);
  const DumpSeal seal = SomeSeal(SomeHeader().stream_id);
  for (const std::string& payload :
       {std::string(), std::string("short"), std::string(100'000, 'x')}) {
    for (const bool try_compress : {false, true}) {
      const Chunk chunk =
          compressor.Build(SomeHeader(), payload, try_compress, seal);
      const auto header = DecodeChunkHeader(HeadOf(chunk));
      ASSERT_TRUE(header.ok()) << header.status();
      EXPECT_NE(header->flags & kFlagSealed, 0u);
      EXPECT_EQ((header->flags & kFlagZstd) != 0,
                try_compress && payload.size() > 1000);
      EXPECT_EQ(header->raw_bytes, payload.size());
      // Whoever has no key can check it.
      ASSERT_TRUE(CheckPayload(*header, PayloadOf(chunk)).ok());
      EXPECT_EQ(*DecodePayload(*header, PayloadOf(chunk), seal), payload);
    }
  }
  std::string room(kChunkHeaderBytes, '\0');
  const Chunk chunk =
      FinishChunk(SomeHeader(), PackInPlace(room + "in place"), seal);
  EXPECT_EQ(*DecodePayload(chunk.header, PayloadOf(chunk), seal), "in place");
}

// What is authenticated: each field but the checksums, which are made right.
TEST(SealedChunkTest, EveryFieldAndEveryByteIsBound) {
  Compressor compressor(1);
  const DumpSeal seal = SomeSeal(SomeHeader().stream_id);
  const Chunk chunk =
      compressor.Build(SomeHeader(), std::string(3000, 'y'), true, seal);
  const std::string payload = PayloadOf(chunk);
  const auto decode = [&](const ChunkHeader& header, std::string stored) {
    return DecodePayload(header, std::move(stored), seal).status().code();
  };
  ASSERT_EQ(decode(chunk.header, payload), absl::StatusCode::kOk);
  std::vector<ChunkHeader> forged(6, chunk.header);
  forged[0].type = static_cast<uint8_t>(ChunkType::kNames);
  forged[1].source = 2;
  forged[2].flags &= ~kFlagCritical;
  forged[3].raw_bytes += 1;
  forged[4].stream_id += 1;
  forged[5].sequence += 1;
  for (const ChunkHeader& header : forged) {
    EXPECT_EQ(decode(header, payload), absl::StatusCode::kDataLoss);
  }
  for (size_t i = 0; i < payload.size(); ++i) {
    std::string damaged = payload;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(decode(chunk.header, damaged), absl::StatusCode::kDataLoss);
  }
}

TEST(SealedChunkTest, AChunkIsSealedAsItsDumpIs) {
  Compressor compressor(1);
  const DumpSeal seal = SomeSeal(SomeHeader().stream_id);
  const Chunk sealed = compressor.Build(SomeHeader(), "payload", false, seal);
  const Chunk clear = compressor.Build(SomeHeader(), "payload", false);
  EXPECT_EQ(DecodePayload(sealed.header, PayloadOf(sealed), DumpSeal())
                .status()
                .code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodePayload(clear.header, PayloadOf(clear), seal).status().code(),
            absl::StatusCode::kDataLoss);
  const DumpSeal locked =
      DumpSeal::Locked(absl::FailedPreconditionError("no key"));
  EXPECT_EQ(
      DecodePayload(sealed.header, PayloadOf(sealed), locked).status().code(),
      absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      DecodePayload(clear.header, PayloadOf(clear), locked).status().code(),
      absl::StatusCode::kDataLoss);
  ChunkHeader trailer = SomeHeader();
  trailer.type = static_cast<uint8_t>(ChunkType::kTrailer);
  const Chunk always = compressor.Build(trailer, "payload", false, seal);
  EXPECT_EQ(always.header.flags & kFlagSealed, 0u);
  EXPECT_EQ(*DecodePayload(always.header, PayloadOf(always), seal), "payload");
  ChunkHeader forged = sealed.header;
  forged.type = trailer.type;
  EXPECT_EQ(DecodePayload(forged, PayloadOf(sealed), seal).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(SealedChunkTest, SizesBelowATagAreRefused) {
  ChunkHeader header = SomeHeader();
  header.flags |= kFlagSealed;
  for (header.stored_bytes = 0; header.stored_bytes < kSealTagBytes;
       ++header.stored_bytes) {
    header.raw_bytes = header.stored_bytes;
    EXPECT_EQ(DecodeChunkHeader(Forge(header, "")).status().code(),
              absl::StatusCode::kDataLoss);
  }
  header.raw_bytes = 0;
  EXPECT_TRUE(DecodeChunkHeader(Forge(header, "")).ok());
  header.flags |= kFlagZstd;
  header.raw_bytes = 1;  // Of nothing but a tag.
  EXPECT_FALSE(DecodeChunkHeader(Forge(header, "")).ok());
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
    return DecodePayload(header, stored, DumpSeal()).status();
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
