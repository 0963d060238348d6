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
#include "replication/applied_note.h"
#include "replication/dump_receiver.h"
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

template <typename Message>
std::string Join(uint8_t mode, const std::vector<Message>& messages) {
  std::string bytes(1, static_cast<char>(mode));
  for (const Message& one : messages) {
    const std::string message = SerializeMessage(one);
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
      seed("whole", Join<TransferRequest>(
                        0, {HelloOf(dump), PieceOf(0, bytes), sync, finish})),
      seed("pieces", Join<TransferRequest>(
                         0, {HelloOf(dump), PieceOf(0, bytes.substr(0, 70)),
                             sync, PieceOf(70, bytes.substr(70)), finish})),
      seed("cut", Join<TransferRequest>(
                      0, {HelloOf(dump), PieceOf(0, bytes.substr(0, 100))})),
      seed("mended",
           Join<TransferRequest>(
               1, {HelloOf(dump),
                   plain(ChunkType::kHeader, SerializeMessage(dump.header)),
                   plain(ChunkType::kTrailer, SerializeMessage(dump.trailer)),
                   finish}))};
}

std::vector<Seed> GetSeeds() {
  // Of what replica_get_fuzz serves, and of what it does not.
  const auto request = [](const std::string& ns, const std::string& key) {
    replication::GetRequest r;
    r.set_namespace_(ns);
    r.set_key(key);
    return r;
  };
  replication::GetReply first;
  first.set_lineage("00010203-0405-0607-0809-0a0b0c0d0e0f");
  first.set_epoch(5);
  first.set_hlc(uint64_t{1} << 56);
  first.set_version(9);
  first.set_expires_at_unix_ms(1'700'000'000'000);
  first.add_tags("product:42");
  first.set_data("the first");
  replication::GetReply second;
  second.set_data("the rest");
  const auto seed = [](const std::string& name, const std::string& text) {
    return Seed{"replica_get_fuzz", name, text};
  };
  return {seed("requests", Join<replication::GetRequest>(
                               0, {request("ns", "kk"), request("ns", "x"),
                                   request("other", "kk")})),
          seed("large", Join<replication::GetRequest>(
                            0, {request("ns", std::string(9, 'k'))})),
          seed("replies", Join<replication::GetReply>(1, {first, second})),
          seed("twice", Join<replication::GetReply>(1, {first, first}))};
}

std::vector<Seed> NoteSeeds() {
  replication::PublishedDump applied;
  applied.header = MakeSmallDump().header;
  auto* const source = applied.header.mutable_sources(0);
  source->set_name("cache");
  source->set_kind(backup::format::SOURCE_KIND_BLOB_CACHE);
  source->mutable_cache()->set_lineage("00010203-0405-0607-0809-0a0b0c0d0e0f");
  source->mutable_cache()->set_epoch(5);
  source->mutable_cache()->set_content_digest(backup::format::EncodeUint128(9));
  source->mutable_cache()->set_blobs_included(true);
  applied.stream_digest = backup::format::EncodeUint128(7);
  applied.stored_bytes = 10'000;
  applied.packs = 1;
  replication::PublishedDump delta = applied;
  delta.header.set_base_snapshot_id("20260101T000000Z-00000000");
  delta.header.mutable_sources(0)->mutable_cache()->set_base_epoch(4);
  return {{"replica_note_fuzz", "full", EncodeAppliedNote(applied)},
          {"replica_note_fuzz", "delta", EncodeAppliedNote(delta)}};
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
  std::vector<Seed> seeds;
  for (std::vector<Seed> (*const make)() :
       {ServiceSeeds, GetSeeds, NoteSeeds, TokenSeeds}) {
    for (Seed& seed : make()) seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace larder::tests
