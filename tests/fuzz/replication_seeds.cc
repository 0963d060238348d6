#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "replication/replication.pb.h"
#include "replication/resume_token.h"
#include "tests/fuzz/seeds.h"

namespace larder::tests {
namespace {

using backup::format::Chunk;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::SerializeMessage;
using replication::TransferRequest;

constexpr uint64_t kStreamId = 12;
constexpr char kSnapshot[] = "20260101T000000Z-00000001";

// A dump of one source that gave nothing.
struct SmallDump {
  backup::format::DumpHeader header;
  backup::format::Trailer trailer;
  std::vector<Chunk> chunks;
};

Chunk MakeChunk(ChunkType type, uint64_t sequence, const std::string& payload) {
  ChunkHeader header;
  header.type = static_cast<uint8_t>(type);
  header.flags = backup::format::kFlagCritical;
  header.stream_id = kStreamId;
  header.sequence = sequence;
  return backup::format::Compressor(1).Build(header, payload, false);
}

SmallDump MakeSmallDump() {
  SmallDump dump;
  dump.header.set_format_version(backup::format::kFormatVersion);
  dump.header.set_stream_id(kStreamId);
  dump.header.set_snapshot_id(kSnapshot);
  auto* const source = dump.header.add_sources();
  source->set_name("files");
  source->set_kind(backup::format::SOURCE_KIND_DIRECTORY);
  dump.chunks.push_back(
      MakeChunk(ChunkType::kHeader, 0, SerializeMessage(dump.header)));
  const std::string& first = dump.chunks[0].bytes;
  dump.trailer.set_chunks(1);
  dump.trailer.set_chunk_bytes(first.size());
  dump.trailer.set_stream_digest(
      backup::format::EncodeUint128(backup::format::Checksum128(
          first.substr(0, backup::format::kChunkHeaderBytes))));
  dump.trailer.add_sources();
  dump.chunks.push_back(
      MakeChunk(ChunkType::kTrailer, 1, SerializeMessage(dump.trailer)));
  return dump;
}

std::string Join(uint8_t mode, const std::vector<TransferRequest>& requests) {
  std::string bytes(1, static_cast<char>(mode));
  for (const TransferRequest& request : requests) {
    const std::string message = SerializeMessage(request);
    backup::format::AppendFixed<uint16_t>(static_cast<uint16_t>(message.size()),
                                          &bytes);
    bytes += message;
  }
  return bytes;
}

TransferRequest HelloOf(const SmallDump& dump) {
  TransferRequest request;
  auto* const hello = request.mutable_hello();
  hello->set_protocol_version(1);
  hello->set_lineage("lineage");
  hello->set_term(1);
  hello->set_header(SerializeMessage(dump.header));
  return request;
}

TransferRequest PieceOf(uint64_t position, const std::string& data) {
  TransferRequest request;
  request.mutable_piece()->set_position(position);
  request.mutable_piece()->set_data(data);
  return request;
}

std::vector<Seed> ServiceSeeds() {
  const SmallDump dump = MakeSmallDump();
  const std::string bytes = dump.chunks[0].bytes + dump.chunks[1].bytes;
  TransferRequest sync;
  sync.mutable_sync();
  TransferRequest finish;
  finish.mutable_finish()->set_bytes(bytes.size());
  finish.mutable_finish()->set_stream_digest(dump.trailer.stream_digest());
  // For mode 1: types and payloads.
  const auto plain = [](ChunkType type, const std::string& payload) {
    return PieceOf(
        0, absl::StrCat(std::string(1, static_cast<char>(type)), payload));
  };
  const auto seed = [](const std::string& name, const std::string& text) {
    return Seed{"replica_service_fuzz", name, text};
  };
  return {
      seed("whole", Join(0, {HelloOf(dump), PieceOf(0, bytes), sync, finish})),
      seed("pieces", Join(0, {HelloOf(dump), PieceOf(0, bytes.substr(0, 70)),
                              sync, PieceOf(70, bytes.substr(70)), finish})),
      seed("cut", Join(0, {HelloOf(dump), PieceOf(0, bytes.substr(0, 100))})),
      seed("mended",
           Join(1, {HelloOf(dump),
                    plain(ChunkType::kHeader, SerializeMessage(dump.header)),
                    plain(ChunkType::kTrailer, SerializeMessage(dump.trailer)),
                    finish}))};
}

std::vector<Seed> TokenSeeds() {
  const replication::ResumeBinding binding = {.peer = "peer",
                                              .lineage = "lineage",
                                              .snapshot_id = kSnapshot,
                                              .stream_id = 42};
  const auto seed = [&binding](const std::string& name, char secret) {
    const auto size = [](const std::string& text) {
      return std::string(1, static_cast<char>(text.size()));
    };
    return Seed{"resume_token_fuzz", name,
                absl::StrCat(size(binding.peer), size(binding.lineage),
                             size(binding.snapshot_id), binding.peer,
                             binding.lineage, binding.snapshot_id,
                             replication::ResumeTokens(std::string(32, secret))
                                 .Issue(binding, 1'700'000'000'001))};
  };
  return {seed("ours", 'k'), seed("theirs", 'l')};
}

}  // namespace

std::vector<Seed> ReplicationSeeds() {
  std::vector<Seed> seeds = ServiceSeeds();
  for (Seed& seed : TokenSeeds()) seeds.push_back(std::move(seed));
  return seeds;
}

}  // namespace larder::tests
