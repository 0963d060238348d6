#include "backup/format/record_codec.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::backup::format {
namespace {

constexpr uint32_t kFrameZstd = 1;

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("record: ", what));
}

absl::Status CheckName(absl::string_view ns, absl::string_view key) {
  if (ns.empty() ||
      static_cast<int64_t>(ns.size()) > cache::kNamespaceBytesMax ||
      ns.find_first_of(absl::string_view("\0\r\n", 3)) !=
          absl::string_view::npos) {
    return Bad(absl::StrFormat("namespace \"%s\": not one", Printable(ns)));
  }
  if (key.empty() || static_cast<int64_t>(key.size()) > cache::kKeyBytesMax) {
    return Bad(absl::StrFormat("key of %d bytes vs 1 to %d", key.size(),
                               cache::kKeyBytesMax));
  }
  return absl::OkStatus();
}

absl::Status CheckHlc(uint64_t hlc) {
  if (hlc <= kHlcMax) return absl::OkStatus();
  return Bad(absl::StrFormat("hlc: %d exceeds %d", hlc, kHlcMax));
}

absl::Status ReadStrings(
    const google::protobuf::RepeatedPtrField<std::string>& from,
    int64_t count_max, std::vector<std::string>* to) {
  if (from.size() > count_max) {
    return Bad(absl::StrFormat("%d tags or dependencies exceed %d", from.size(),
                               count_max));
  }
  for (const std::string& text : from) {
    if (static_cast<int64_t>(text.size()) > cache::kTagBytesMax) {
      return Bad(absl::StrFormat("tag or dependency of %d bytes exceeds %d",
                                 text.size(), cache::kTagBytesMax));
    }
    to->push_back(text);
  }
  return absl::OkStatus();
}

absl::Status ReadMetadata(const Record& m, cache::BlobAttributes* attributes) {
  int64_t bytes = 0;
  for (const MetadataPair& pair : m.metadata()) {
    bytes += static_cast<int64_t>(pair.key().size() + pair.value().size());
    attributes->metadata.emplace_back(pair.key(), pair.value());
  }
  if (m.metadata_size() > cache::kMetadataKeysMax ||
      bytes > cache::kMetadataBytesMax) {
    return Bad(absl::StrFormat(
        "metadata: %d keys, %d bytes exceed %d, %d", m.metadata_size(), bytes,
        cache::kMetadataKeysMax, cache::kMetadataBytesMax));
  }
  return absl::OkStatus();
}

absl::Status ReadAttributes(const Record& m, cache::BlobAttributes* a) {
  if (m.priority() > std::numeric_limits<uint8_t>::max() ||
      m.l1_admission() > static_cast<uint32_t>(cache::L1Admission::kNever)) {
    return Bad(absl::StrFormat("priority %d or admission %d out of range",
                               m.priority(), m.l1_admission()));
  }
  if (m.expires_at_unix_ms() < 0 || m.idle_ttl_ms() < 0 || m.stale_ms() < 0 ||
      m.last_access_unix_ms() < 0) {
    return Bad("a negative time");
  }
  LARDER_RETURN_IF_ERROR(CheckHlc(m.hlc()));
  a->hlc.value = m.hlc();
  a->expiry = {.expires_at_unix_ms = m.expires_at_unix_ms(),
               .idle_ttl_ms = m.idle_ttl_ms(),
               .stale_ms = m.stale_ms()};
  a->version = m.version();
  a->priority = static_cast<uint8_t>(m.priority());
  a->l1_admission = static_cast<cache::L1Admission>(m.l1_admission());
  LARDER_RETURN_IF_ERROR(ReadStrings(m.tags(), cache::kTagsMax, &a->tags));
  LARDER_RETURN_IF_ERROR(
      ReadStrings(m.dependencies(), cache::kDependenciesMax, &a->dependencies));
  LARDER_RETURN_IF_ERROR(ReadMetadata(m, a));
  for (const std::string& tag : a->tags) {
    a->invalidation_hashes.push_back(cache::TagHash(tag));
  }
  for (const std::string& dependency : a->dependencies) {
    a->invalidation_hashes.push_back(cache::DependencyHash(dependency));
  }
  return absl::OkStatus();
}

absl::Status ReadFrames(const Record& m, cache::StoredRecord* record) {
  const int count = m.frame_checksums_size();
  if (count > kFramesPerRecordMax || m.frame_stored_bytes_size() != count ||
      m.frame_raw_bytes_size() != count || m.frame_flags_size() != count) {
    return Bad(absl::StrFormat(
        "frames: %d checksums, %d stored sizes, %d raw sizes, %d flags, vs "
        "equal and at most %d",
        count, m.frame_stored_bytes_size(), m.frame_raw_bytes_size(),
        m.frame_flags_size(), kFramesPerRecordMax));
  }
  uint64_t raw = 0;
  record->frames.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const cache::Frame frame{.stored_bytes = m.frame_stored_bytes(i),
                             .raw_bytes = m.frame_raw_bytes(i),
                             .zstd = (m.frame_flags(i) & kFrameZstd) != 0,
                             .checksum = m.frame_checksums(i)};
    if (frame.stored_bytes == 0 || frame.stored_bytes > kFrameBytesMax ||
        frame.raw_bytes == 0 || frame.raw_bytes > kFrameBytesMax ||
        (!frame.zstd && frame.raw_bytes != frame.stored_bytes) ||
        (m.frame_flags(i) & ~kFrameZstd) != 0) {
      return Bad(absl::StrFormat("frame %d: %d bytes stored, %d raw, flags %x",
                                 i, frame.stored_bytes, frame.raw_bytes,
                                 m.frame_flags(i)));
    }
    raw += frame.raw_bytes;
    record->stored_bytes += frame.stored_bytes;
    record->frames.push_back(frame);
  }
  if (raw != m.raw_bytes()) {
    return Bad(absl::StrFormat("frames hold %d bytes vs expected %d", raw,
                               m.raw_bytes()));
  }
  record->raw_bytes = raw;
  return absl::OkStatus();
}

}  // namespace

void ToMessage(const cache::StoredRecord& record, Record* m) {
  const cache::BlobAttributes& a = record.attributes;
  m->set_ns(record.ns);
  m->set_key(record.key);
  m->set_hlc(a.hlc.value);
  m->set_expires_at_unix_ms(a.expiry.expires_at_unix_ms);
  m->set_idle_ttl_ms(a.expiry.idle_ttl_ms);
  m->set_stale_ms(a.expiry.stale_ms);
  m->set_version(a.version);
  m->set_priority(a.priority);
  m->set_l1_admission(static_cast<uint32_t>(a.l1_admission));
  for (const std::string& tag : a.tags) m->add_tags(tag);
  for (const std::string& dependency : a.dependencies) {
    m->add_dependencies(dependency);
  }
  for (const auto& [key, value] : a.metadata) {
    MetadataPair* pair = m->add_metadata();
    pair->set_key(key);
    pair->set_value(value);
  }
  m->set_last_access_unix_ms(record.last_access_unix_ms);
  m->set_raw_bytes(record.raw_bytes);
  m->set_payload_checksum(record.payload_checksum);
  for (const cache::Frame& frame : record.frames) {
    m->add_frame_stored_bytes(frame.stored_bytes);
    m->add_frame_raw_bytes(frame.raw_bytes);
    m->add_frame_checksums(frame.checksum);
    m->add_frame_flags(frame.zstd ? kFrameZstd : 0);
  }
}

absl::StatusOr<cache::StoredRecord> FromMessage(const Record& m) {
  LARDER_RETURN_IF_ERROR(CheckName(m.ns(), m.key()));
  cache::StoredRecord record;
  record.ns = m.ns();
  record.key = m.key();
  record.last_access_unix_ms = m.last_access_unix_ms();
  record.payload_checksum = m.payload_checksum();
  absl::Status status = ReadAttributes(m, &record.attributes);
  if (status.ok()) status = ReadFrames(m, &record);
  if (!status.ok()) {
    return absl::DataLossError(absl::StrCat("blob ", Printable(m.ns()), "/",
                                            Printable(m.key()), ": ",
                                            status.message()));
  }
  return record;
}

void ToMessage(const cache::NamespaceState& state, Namespace* m) {
  m->set_name(state.name);
  m->set_generation(state.generation);
  m->set_flushed_at(state.flushed_at.value);
  if (state.forgotten_through != cache::Hlc()) {
    m->set_forgotten_through(state.forgotten_through.value);
  }
}

absl::StatusOr<cache::NamespaceState> FromMessage(const Namespace& m) {
  LARDER_RETURN_IF_ERROR(CheckName(m.name(), "-"));
  LARDER_RETURN_IF_ERROR(CheckHlc(m.flushed_at()));
  LARDER_RETURN_IF_ERROR(CheckHlc(m.forgotten_through()));
  if (m.generation() > kGenerationMax) {
    return Bad(absl::StrFormat("generation: %d exceeds %d", m.generation(),
                               kGenerationMax));
  }
  return cache::NamespaceState{.name = m.name(),
                               .generation = m.generation(),
                               .flushed_at = {m.flushed_at()},
                               .forgotten_through = {m.forgotten_through()}};
}

void ToMessage(const cache::Tombstone& tombstone, Tombstone* m) {
  m->set_kind(static_cast<uint32_t>(tombstone.kind));
  m->set_ns(tombstone.ns);
  m->set_value(tombstone.value);
  m->set_hlc(tombstone.hlc.value);
}

absl::StatusOr<cache::Tombstone> FromMessage(const Tombstone& m) {
  LARDER_RETURN_IF_ERROR(CheckName(m.ns(), "-"));
  LARDER_RETURN_IF_ERROR(CheckHlc(m.hlc()));
  const auto kind = static_cast<cache::TombstoneKind>(m.kind());
  const bool hashed = kind == cache::TombstoneKind::kTag ||
                      kind == cache::TombstoneKind::kDependency;
  // A larger number was cut: 258 is not a tag.
  const bool whole = m.kind() <= std::numeric_limits<uint8_t>::max();
  if (!(whole && hashed && m.value().size() == sizeof(uint64_t)) &&
      !(whole && kind == cache::TombstoneKind::kPrefix &&
        static_cast<int64_t>(m.value().size()) <= cache::kKeyBytesMax)) {
    return absl::DataLossError(
        absl::StrFormat("tombstone: kind %d with a value of %d bytes", m.kind(),
                        m.value().size()));
  }
  return cache::Tombstone{
      .kind = kind, .ns = m.ns(), .value = m.value(), .hlc = {m.hlc()}};
}

CacheInfo ToMessage(const cache::SnapshotInfo& info) {
  CacheInfo m;
  m.set_lineage(info.lineage);
  for (const std::string& ancestor : info.ancestors) m.add_ancestors(ancestor);
  m.set_epoch(info.epoch);
  m.set_hlc(info.hlc.value);
  m.set_complete_through(info.complete_through.value);
  m.set_content_digest(EncodeUint128(info.content_digest));
  m.set_records(info.records);
  m.set_raw_bytes(info.raw_bytes);
  m.set_stored_bytes(info.stored_bytes);
  m.set_namespaces(static_cast<int64_t>(info.namespaces.size()));
  m.set_tombstones(static_cast<int64_t>(info.tombstones.size()));
  m.set_pin_nanos(info.pin_nanos);
  return m;
}

cache::SnapshotInfo FromMessage(const CacheInfo& m) {
  cache::SnapshotInfo info;
  info.lineage = m.lineage();
  info.ancestors.assign(m.ancestors().begin(), m.ancestors().end());
  info.epoch = m.epoch();
  info.hlc.value = m.hlc();
  info.complete_through.value = m.complete_through();
  DecodeUint128(m.content_digest(), &info.content_digest);
  info.records = m.records();
  info.raw_bytes = m.raw_bytes();
  info.stored_bytes = m.stored_bytes();
  info.pin_nanos = m.pin_nanos();
  return info;
}

}  // namespace larder::backup::format
