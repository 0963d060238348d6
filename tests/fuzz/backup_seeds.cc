#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "backup/internal/hydration_state.pb.h"
#include "cache/hlc.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"
#include "tests/fuzz/seeds.h"

namespace larder::tests {
namespace {

using namespace backup::format;  // NOLINT(google-build-using-namespace)

constexpr int64_t kNow = 1'700'000'000'000;  // Unix milliseconds.
constexpr char kSnapshot[] = "20260101T000000Z-00000001";

// A byte, then `bytes`: what selects among messages, or says a size.
std::string After(size_t byte, absl::string_view bytes) {
  return absl::StrCat(std::string(1, static_cast<char>(byte)), bytes);
}

cache::StoredRecord SomeRecord() {
  cache::StoredRecord r;
  r.ns = "pages";
  r.key = "a/b";
  r.attributes.hlc = cache::Hlc::FromUnixMillis(kNow);
  r.attributes.expiry = {kNow + 60'000, 60'000, 500};
  r.attributes.version = 9;
  r.attributes.tags = {"product:42"};
  r.attributes.dependencies = {"template"};
  r.attributes.metadata = {{"type", "text/html"}};
  r.last_access_unix_ms = kNow;
  r.payload_checksum = 77;
  r.frames = {{1000, 1000, false, 1}, {300, 900, true, 2}};
  r.raw_bytes = 1900;
  r.stored_bytes = 1300;
  return r;
}

Record SomeRecordMessage() {
  Record m;
  ToMessage(SomeRecord(), &m);
  return m;
}

Namespace SomeNamespace() {
  Namespace m;
  ToMessage(cache::NamespaceState{"pages", 3, {1000}}, &m);
  return m;
}

Tombstone SomeTombstone(cache::TombstoneKind kind, const std::string& value) {
  Tombstone m;
  ToMessage(cache::Tombstone{kind, "pages", value, {1000}}, &m);
  return m;
}

DumpHeader SomeHeader() {
  DumpHeader m;
  m.set_format_version(kFormatVersion);
  m.set_stream_id(12);
  m.set_snapshot_id(kSnapshot);
  m.set_created_unix_ms(kNow);
  m.mutable_limits()->set_frame_bytes_max(kFrameBytesMax);
  SourceInfo* cache = m.add_sources();
  cache->set_name("cache");
  cache->set_kind(SOURCE_KIND_BLOB_CACHE);
  cache::SnapshotInfo info;
  info.lineage = "00010203-0405-0607-0809-0a0b0c0d0e0f";
  info.epoch = 5;
  info.content_digest = 99;
  *cache->mutable_cache() = ToMessage(info);
  SourceInfo* files = m.add_sources();
  files->set_name("files");
  files->set_kind(SOURCE_KIND_DIRECTORY);
  return m;
}

Trailer SomeTrailer() {
  Trailer m;
  m.set_chunks(9);
  m.set_chunk_bytes(5000);
  m.set_stream_digest(EncodeUint128(7));
  m.add_sources()->mutable_totals()->set_frames(2);
  m.add_sources()->set_status_message("files changed");
  return m;
}

Manifest SomeManifest() {
  Manifest m;
  m.set_format_version(kFormatVersion);
  m.set_ordinal(1);
  *m.mutable_header() = SomeHeader();
  *m.mutable_trailer() = SomeTrailer();
  Pack* pack = m.add_packs();
  pack->set_name(PackName(kSnapshot, 0));
  pack->set_bytes(10'000);
  pack->set_checksum(EncodeUint128(9));
  pack->set_chunks(10);
  return m;
}

std::vector<Seed> RecordSeeds() {
  const uint64_t hash = cache::TagHash("product:42");
  const std::string hash_bytes(reinterpret_cast<const char*>(&hash), 8);
  const auto seed = [](const std::string& name, size_t which,
                       const google::protobuf::Message& m) {
    return Seed{"dump_record_fuzz", name, After(which, SerializeMessage(m))};
  };
  return {
      seed("record", 0, SomeRecordMessage()),
      seed("namespace", 1, SomeNamespace()),
      seed("tag", 2, SomeTombstone(cache::TombstoneKind::kTag, hash_bytes)),
      seed("prefix", 2, SomeTombstone(cache::TombstoneKind::kPrefix, "a/"))};
}

std::vector<Seed> MessageSeeds() {
  Invalidations invalidations;
  invalidations.set_parts(1);
  *invalidations.add_namespaces() = SomeNamespace();
  *invalidations.add_tombstones() =
      SomeTombstone(cache::TombstoneKind::kPrefix, "a/");
  Records records;
  records.set_high(BlobName("pages", "b"));
  *records.add_records() = SomeRecordMessage();
  FramesIndex frames;
  frames.set_records_sequence(3);
  FrameRun* run = frames.add_runs();
  run->set_frames(2);
  run->set_bytes(1300);
  Names names;
  names.add_chunks()->add_names(BlobName("pages", "a/b"));
  Files files;
  FilePart* part = files.add_parts();
  part->set_path("etc/motd");
  part->set_data("hello");
  part->set_last(true);
  part->set_checksum(EncodeUint128(5));
  part->set_mode(0644);
  Lease lease;
  lease.add_snapshot_ids(kSnapshot);
  lease.set_expires_unix_ms(1'700'000'000'000);
  Verification verification;
  verification.set_mode(VERIFY_MODE_SAMPLE);
  verification.set_status_code(15);
  verification.set_status_message("a pack");
  verification.set_seed(7);
  const auto seed = [](const std::string& name, size_t which,
                       const google::protobuf::Message& m) {
    return Seed{"dump_message_fuzz", name, After(which, SerializeMessage(m))};
  };
  return {seed("header", 0, SomeHeader()),
          seed("trailer", 1, SomeTrailer()),
          seed("invalidations", 2, invalidations),
          seed("records", 3, records),
          seed("frames", 4, frames),
          seed("names", 5, names),
          seed("files", 6, files),
          seed("manifest", 7, SomeManifest()),
          seed("lease", 8, lease),
          seed("verification", 9, verification)};
}

std::vector<Seed> ChunkSeeds() {
  const ChunkHeader header = {.type = static_cast<uint8_t>(ChunkType::kRecords),
                              .source = 0,
                              .flags = kFlagCritical,
                              .stream_id = 12,
                              .sequence = 3};
  std::string text;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&text, "line ", i % 10, "\n");
  Compressor compressor(1);
  return {
      {"dump_chunk_fuzz", "plain",
       compressor.Build(header, "a payload", false).bytes},
      {"dump_chunk_fuzz", "zstd", compressor.Build(header, text, true).bytes},
      {"dump_chunk_fuzz", "ratio",
       compressor.Build(header, std::string(1 << 20, 'x'), true).bytes},
      {"dump_chunk_fuzz", "empty", compressor.Build(header, "", false).bytes}};
}

std::vector<Seed> ArchiveSeeds() {
  const auto names = [](const std::string& name, absl::string_view a,
                        absl::string_view b) {
    return Seed{"dump_name_fuzz", name, After(a.size(), absl::StrCat(a, b))};
  };
  return {{"archive_file_fuzz", "manifest", EncodeManifest(SomeManifest())},
          {"archive_file_fuzz", "pack_head",
           EncodePackHead({.index = 3, .stream_id = 12, .first_sequence = 9})},
          names("paths", "a/b.txt", "a.b/c"),
          names("escapes", "../a", "a/./b"),
          names("blobs", BlobName("pages", "a/b"), BlobName("pages2", "a")),
          names("packs", PackName(kSnapshot, 0), PackName("x", 999'999))};
}

// Of the archive that hydration_fuzz makes: a full dump and a delta.
constexpr char kHydrated[] = "20231114T221322Z-09818a4c";
constexpr char kHydratedBase[] = "20231114T221321Z-bb686f68";

HydrationState SomeHydrationState() {
  HydrationState m;
  m.set_format_version(1);
  m.add_archives("/archive");
  m.set_snapshot_id(kHydrated);
  m.set_invalidation_parts(1);
  m.set_records(40);
  m.set_stored_bytes(10'000);
  m.add_passes_since_unix_ms(kNow);
  m.add_passes_since_unix_ms(-kNow);
  HydrationPosition* at = m.mutable_position();
  at->set_chain(absl::StrCat(kHydratedBase, " ", kHydrated, " "));
  at->set_pass(1);
  at->set_layer(1);
  at->set_ns("even");
  at->set_key("key4");
  m.set_records_added(3);
  m.set_bytes_added(60);
  LostBlob* lost = m.add_lost();
  lost->set_ns("odd");
  lost->set_key("key5");
  lost->set_count(1);
  lost->set_reason("a pack");
  return m;
}

std::vector<Seed> HydrationSeeds() {
  Invalidations invalidations;
  *invalidations.add_namespaces() = SomeNamespace();
  *invalidations.add_tombstones() =
      SomeTombstone(cache::TombstoneKind::kPrefix, "a/");
  std::string floor = "LARDHYDR";
  AppendFixed<uint32_t>(1, &floor);
  AppendFixed<uint32_t>(0, &floor);
  AppendFixed<uint64_t>(cache::Hlc::FromUnixMillis(kNow + 1000).value, &floor);
  const std::string state = SerializeMessage(SomeHydrationState());
  HydrationState begun = SomeHydrationState();
  begun.clear_position();
  begun.clear_passes_since_unix_ms();
  const std::string surveying = SerializeMessage(begun);
  HydrationState counted = begun;
  counted.set_records_added(std::numeric_limits<int64_t>::max());
  counted.set_records_fetched(std::numeric_limits<int64_t>::max());
  const std::string tombstones = SerializeMessage(invalidations);
  const auto seed = [](const std::string& name, size_t what,
                       const std::vector<std::string>& files) {
    std::string bytes(1, static_cast<char>(what));
    for (const std::string& file : files) {
      AppendFixed<uint16_t>(static_cast<uint16_t>(file.size()), &bytes);
      bytes += file;
    }
    return Seed{"hydration_fuzz", name, bytes};
  };
  return {seed("state", 1, {state}),
          seed("invalidations", 2, {tombstones}),
          seed("floor", 4, {floor}),
          seed("not_mended", 0x87, {state, tombstones, floor}),
          seed("goes_on", 0x47, {state, tombstones, floor}),
          seed("begins", 0x41, {surveying}),
          seed("counted", 1, {SerializeMessage(counted)})};
}

}  // namespace

std::vector<Seed> BackupSeeds() {
  std::vector<Seed> seeds;
  for (std::vector<Seed> (*const make)() :
       {RecordSeeds, MessageSeeds, ChunkSeeds, ArchiveSeeds, HydrationSeeds}) {
    for (Seed& seed : make()) seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace larder::tests
