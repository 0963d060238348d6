#include "backup/format/archive_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/sealed_dump.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup::format {
namespace {

constexpr absl::string_view kPackMagic = "LARDPACK";
constexpr absl::string_view kManifestMagic = "LARDMANI";
constexpr absl::string_view kPackSuffix = ".pack";
constexpr size_t kPackIndexDigits = 6;

// Checks the 8-byte magic, the version behind it, and the XXH3-64 of the first
// 32 bytes that ends both heads.
absl::Status CheckHead(absl::string_view bytes, absl::string_view magic) {
  constexpr size_t kChecksumAt = 32;
  if (bytes.substr(0, magic.size()) != magic) {
    return absl::DataLossError(
        absl::StrFormat("at byte 0: magic is not \"%s\"", magic));
  }
  const uint64_t found = LoadFixed<uint64_t>(bytes.data() + kChecksumAt);
  const uint64_t expected = Checksum64(bytes.substr(0, kChecksumAt));
  if (found != expected) {
    return absl::DataLossError(absl::StrFormat(
        "at byte 0: head checksum %016x vs expected %016x", found, expected));
  }
  const uint32_t version = LoadFixed<uint32_t>(bytes.data() + 8);
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "at byte 8: format version %d vs %d known", version, kFormatVersion));
  }
  return absl::OkStatus();
}

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("manifest: ", what));
}

absl::Status CheckReferences(const Manifest& manifest) {
  if (manifest.references_size() > kPacksMax) {
    return Bad(absl::StrFormat("references: %d exceed %d",
                               manifest.references_size(), kPacksMax));
  }
  for (const Pack& pack : manifest.references()) {
    std::string id;
    if (!ParsePackName(pack.name(), &id)) return Bad("a reference's name");
    if (pack.bytes() > kPackBytesMax) {
      return Bad(absl::StrFormat("%s: %d bytes exceeds %d", pack.name(),
                                 pack.bytes(), kPackBytesMax));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPacks(const Manifest& manifest) {
  if (manifest.packs_size() == 0 || manifest.packs_size() > kPacksMax) {
    return Bad(absl::StrFormat("packs: %d vs 1 to %d", manifest.packs_size(),
                               kPacksMax));
  }
  uint64_t next = 0;
  for (const Pack& pack : manifest.packs()) {
    std::string id;
    absl::uint128 checksum;
    if (!ParsePackName(pack.name(), &id)) return Bad("a pack's name");
    if (!DecodeUint128(pack.checksum(), &checksum)) {
      return Bad(absl::StrCat(pack.name(), ": no checksum"));
    }
    if (pack.bytes() < kPackHeadBytes || pack.bytes() > kPackBytesMax) {
      return Bad(absl::StrFormat("%s: %d bytes vs %d to %d", pack.name(),
                                 pack.bytes(), kPackHeadBytes, kPackBytesMax));
    }
    if (pack.first_sequence() != next || pack.chunks() == 0 ||
        pack.chunks() > pack.bytes() / kChunkHeaderBytes) {
      return Bad(absl::StrFormat("%s: chunks %d from %d vs expected from %d",
                                 pack.name(), pack.chunks(),
                                 pack.first_sequence(), next));
    }
    next += pack.chunks();
  }
  if (next != manifest.trailer().chunks() + 1) {
    return Bad(absl::StrFormat("packs hold %d chunks vs %d and a trailer", next,
                               manifest.trailer().chunks()));
  }
  return absl::OkStatus();
}

// `chunks` and `bytes` of all packs. What has to be added up later cannot
// overflow then.
absl::Status CheckTotals(const SourceTotals& t, uint64_t chunks,
                         uint64_t bytes) {
  for (const int64_t count :
       {t.records(), t.frames(), t.raw_bytes(), t.stored_bytes(), t.files(),
        t.file_bytes(), t.records_begun(), t.files_begun(), t.problems_count(),
        t.specials_ignored(), t.file_bytes_begun(), t.directories_excluded(),
        t.ranges(), t.records_kept()}) {
    if (count < 0) return Bad(absl::StrCat("totals: ", count, " is below 0"));
  }
  const auto within = [](absl::string_view what, int64_t count,
                         uint64_t count_max) {
    if (static_cast<uint64_t>(count) <= count_max) return absl::OkStatus();
    return Bad(
        absl::StrFormat("totals: %s: %d exceed %d", what, count, count_max));
  };
  LARDER_RETURN_IF_ERROR(
      within("records", t.records(), static_cast<uint64_t>(t.records_begun())));
  LARDER_RETURN_IF_ERROR(
      within("files", t.files(), static_cast<uint64_t>(t.files_begun())));
  LARDER_RETURN_IF_ERROR(within("bytes of files", t.file_bytes(),
                                static_cast<uint64_t>(t.file_bytes_begun())));
  LARDER_RETURN_IF_ERROR(within("records begun", t.records_begun(),
                                chunks * uint64_t{kRecordsPerChunkMax}));
  LARDER_RETURN_IF_ERROR(
      within("ranges", t.ranges(), chunks * uint64_t{kMessageItemsMax}));
  LARDER_RETURN_IF_ERROR(within("records kept", t.records_kept(),
                                chunks * uint64_t{kKeptPerChunkMax}));
  LARDER_RETURN_IF_ERROR(within("files begun", t.files_begun(),
                                chunks * uint64_t{kPartsPerChunkMax}));
  LARDER_RETURN_IF_ERROR(within("bytes of files begun", t.file_bytes_begun(),
                                chunks * uint64_t{kDecodedBytesMax}));
  // A frame is of one byte at least, and of kFrameBytesMax at most once
  // decoded.
  LARDER_RETURN_IF_ERROR(
      within("raw bytes", t.raw_bytes(), bytes * uint64_t{kFrameBytesMax}));
  return within("stored bytes", t.stored_bytes(), bytes);
}

absl::Status CheckManifest(const Manifest& manifest) {
  if (manifest.format_version() != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrFormat("manifest: format version %d vs %d known",
                        manifest.format_version(), kFormatVersion));
  }
  LARDER_RETURN_IF_ERROR(CheckDumpHeader(manifest.header()));
  absl::uint128 digest;
  if (!DecodeUint128(manifest.trailer().stream_digest(), &digest)) {
    return Bad("no stream digest");
  }
  if (manifest.has_folded_from() &&
      !DecodeUint128(manifest.folded_from().digest(), &digest)) {
    return Bad("no digest of the stream that was folded");
  }
  if (manifest.trailer().sources_size() != manifest.header().sources_size()) {
    return Bad(absl::StrFormat("trailer has %d sources vs %d",
                               manifest.trailer().sources_size(),
                               manifest.header().sources_size()));
  }
  if (manifest.ordinal() > kOrdinalMax) {
    return Bad(absl::StrFormat("ordinal: %d exceeds %d", manifest.ordinal(),
                               kOrdinalMax));
  }
  LARDER_RETURN_IF_ERROR(CheckPacks(manifest));
  LARDER_RETURN_IF_ERROR(CheckReferences(manifest));
  LARDER_RETURN_IF_ERROR(CheckSealForm(manifest));
  uint64_t bytes = 0;
  for (const Pack& pack : manifest.packs()) bytes += pack.bytes();
  for (const Pack& pack : manifest.references()) bytes += pack.bytes();
  for (const SourceEnd& source : manifest.trailer().sources()) {
    LARDER_RETURN_IF_ERROR(
        CheckTotals(source.totals(), manifest.trailer().chunks() + 1, bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckCacheInfo(const CacheInfo& cache) {
  absl::uint128 digest;
  if (!DecodeUint128(cache.content_digest(), &digest)) {
    return Bad("no content digest");
  }
  if (cache.base_epoch() > cache.epoch()) {
    return Bad(absl::StrFormat("base epoch: %d exceeds epoch %d",
                               cache.base_epoch(), cache.epoch()));
  }
  if (cache.hlc() > kHlcMax) {
    return Bad(absl::StrFormat("hlc: %d exceeds %d", cache.hlc(), kHlcMax));
  }
  if (cache.records() < 0 || cache.raw_bytes() < 0 ||
      cache.stored_bytes() < 0) {
    return Bad(absl::StrFormat("cache: %d records of %d bytes, %d stored",
                               cache.records(), cache.raw_bytes(),
                               cache.stored_bytes()));
  }
  if (cache.namespaces() < 0 || cache.namespaces() > kNamespacesMax ||
      cache.tombstones() < 0 || cache.tombstones() > kTombstonesMax) {
    return Bad(absl::StrFormat("namespaces, tombstones: %d, %d exceed %d, %d",
                               cache.namespaces(), cache.tombstones(),
                               kNamespacesMax, kTombstonesMax));
  }
  return absl::OkStatus();
}

bool AllOf(absl::string_view text, int64_t size_max, bool (*is)(char)) {
  return !text.empty() && static_cast<int64_t>(text.size()) <= size_max &&
         std::all_of(text.begin(), text.end(), is);
}

}  // namespace

std::string EncodePackHead(const PackHead& head) {
  std::string out(kPackMagic);
  AppendFixed<uint32_t>(kFormatVersion, &out);
  AppendFixed<uint32_t>(head.index, &out);
  AppendFixed<uint64_t>(head.stream_id, &out);
  AppendFixed<uint64_t>(head.first_sequence, &out);
  AppendFixed<uint64_t>(Checksum64(out), &out);
  LARDER_CHECK(out.size() == kPackHeadBytes);
  return out;
}

absl::StatusOr<PackHead> DecodePackHead(absl::string_view bytes) {
  LARDER_CHECK(bytes.size() == kPackHeadBytes);
  LARDER_RETURN_IF_ERROR(CheckHead(bytes, kPackMagic));
  return PackHead{.index = LoadFixed<uint32_t>(bytes.data() + 12),
                  .stream_id = LoadFixed<uint64_t>(bytes.data() + 16),
                  .first_sequence = LoadFixed<uint64_t>(bytes.data() + 24)};
}

std::string EncodeManifest(const Manifest& manifest) {
  const std::string message = SerializeMessage(manifest);
  const absl::uint128 checksum = Checksum128(message);
  std::string out(kManifestMagic);
  AppendFixed<uint32_t>(kFormatVersion, &out);
  AppendFixed<uint32_t>(static_cast<uint32_t>(message.size()), &out);
  AppendFixed<uint64_t>(absl::Uint128Low64(checksum), &out);
  AppendFixed<uint64_t>(absl::Uint128High64(checksum), &out);
  AppendFixed<uint64_t>(Checksum64(out), &out);
  LARDER_CHECK(out.size() == kManifestHeadBytes);
  return out + message;
}

absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes) {
  if (bytes.size() < kManifestHeadBytes || bytes.size() > kManifestBytesMax) {
    return absl::DataLossError(absl::StrFormat("manifest: %d bytes vs %d to %d",
                                               bytes.size(), kManifestHeadBytes,
                                               kManifestBytesMax));
  }
  LARDER_RETURN_IF_ERROR(
      CheckHead(bytes.substr(0, kManifestHeadBytes), kManifestMagic));
  const absl::string_view message = bytes.substr(kManifestHeadBytes);
  const uint32_t size = LoadFixed<uint32_t>(bytes.data() + 12);
  if (message.size() != size) {
    return absl::DataLossError(
        absl::StrFormat("at byte %d: message of %d bytes vs expected %d",
                        kManifestHeadBytes, message.size(), size));
  }
  const absl::uint128 found = Checksum128(message);
  const absl::uint128 expected =
      absl::MakeUint128(LoadFixed<uint64_t>(bytes.data() + 24),
                        LoadFixed<uint64_t>(bytes.data() + 16));
  if (found != expected) {
    return absl::DataLossError(
        absl::StrFormat("at byte %d: message checksum %s vs expected %s",
                        kManifestHeadBytes, Hex(found), Hex(expected)));
  }
  Manifest manifest;
  LARDER_RETURN_IF_ERROR(ParseMessage(message, &manifest));
  LARDER_RETURN_IF_ERROR(CheckManifest(manifest));
  return manifest;
}

absl::Status CheckDumpHeader(const DumpHeader& header) {
  if (header.format_version() != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrFormat("dump header: format version %d vs %d known",
                        header.format_version(), kFormatVersion));
  }
  const Limits& limits = header.limits();
  if (limits.chunk_payload_bytes_max() > kChunkPayloadBytesMax ||
      limits.decoded_bytes_max() > kDecodedBytesMax ||
      limits.frame_bytes_max() > kFrameBytesMax ||
      limits.window_log_max() > static_cast<uint32_t>(kWindowLogMax)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "dump header: limits: payload %d, decoded %d, frame %d, window 2^%d "
        "exceed %d, %d, %d, 2^%d",
        limits.chunk_payload_bytes_max(), limits.decoded_bytes_max(),
        limits.frame_bytes_max(), limits.window_log_max(),
        kChunkPayloadBytesMax, kDecodedBytesMax, kFrameBytesMax,
        kWindowLogMax));
  }
  if (!IsSnapshotId(header.snapshot_id())) return Bad("the snapshot's id");
  if (header.has_encryption()) {
    LARDER_RETURN_IF_ERROR(CheckEncryption(header.encryption()));
  }
  if (header.sources_size() > kSourcesMax) {
    return Bad(absl::StrFormat("sources: %d exceed %d", header.sources_size(),
                               kSourcesMax));
  }
  bool is_delta = false;
  for (const SourceInfo& source : header.sources()) {
    is_delta = is_delta || source.cache().base_epoch() != 0;
    if (!IsSourceName(source.name())) return Bad("a source's name");
    if (source.kind() == SOURCE_KIND_BLOB_CACHE) {
      LARDER_RETURN_IF_ERROR(CheckCacheInfo(source.cache()));
    }
  }
  if (is_delta ? !IsSnapshotId(header.base_snapshot_id()) ||
                     header.base_snapshot_id() == header.snapshot_id()
               : !header.base_snapshot_id().empty()) {
    return Bad("the base snapshot's id");
  }
  return absl::OkStatus();
}

bool IsSnapshotId(absl::string_view id) {
  return AllOf(id, kSnapshotIdBytesMax, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
}

bool IsSourceName(absl::string_view name) {
  return AllOf(name, kSourceNameBytesMax, [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
           absl::ascii_islower(static_cast<unsigned char>(c)) || c == '-' ||
           c == '_';
  });
}

std::string PackName(absl::string_view snapshot_id, uint32_t index) {
  return absl::StrFormat("%s-%06d%s", snapshot_id, index, kPackSuffix);
}

bool ParsePackName(absl::string_view name, std::string* snapshot_id) {
  constexpr size_t kTailBytes = 1 + kPackIndexDigits + kPackSuffix.size();
  if (name.size() <= kTailBytes) return false;
  const absl::string_view id = name.substr(0, name.size() - kTailBytes);
  const absl::string_view tail = name.substr(id.size());
  const absl::string_view digits = tail.substr(1, kPackIndexDigits);
  if (tail[0] != '-' || tail.substr(1 + kPackIndexDigits) != kPackSuffix ||
      !AllOf(digits, kPackIndexDigits,
             [](char c) {
               return absl::ascii_isdigit(static_cast<unsigned char>(c));
             }) ||
      !IsSnapshotId(id)) {
    return false;
  }
  *snapshot_id = std::string(id);
  return true;
}

}  // namespace larder::backup::format
