#include "cache/l2/record.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Which fields a record has; what it lacks has the value that most have.
enum Flag : uint16_t {
  kHasStoredBytes = 1 << 0,  // Else as many as raw bytes.
  kHasHeader = 1 << 1,
  kFrameIsZstd = 1 << 2,  // Of the one frame of a chain without a header.
  kHasRank = 1 << 3,      // Else the HLC.
  kHasExpiresAt = 1 << 4,
  kHasIdleTtl = 1 << 5,
  kHasStale = 1 << 6,
  kHasLastAccess = 1 << 7,  // Else the HLC's time.
  kHasVersion = 1 << 8,
  kHasPriority = 1 << 9,  // Else kPriorityMost.
  kAdmissionBits = 3 << 10,
  kHasHashes = 1 << 12,
  kIsInline = 1 << 13,
  kHasExtents = 1 << 14,  // Several; else one, without its length.
  kUnknownFlags = 1 << 15,
};
constexpr int kAdmissionShift = 10;
constexpr uint8_t kPriorityMost = 128;
constexpr uint64_t kUnixMillisMax = uint64_t{1} << 48;  // As in the HLC.
// All fields but hashes, extents and inline bytes, at their longest: flags,
// priority, extent count, hashes count; HLC and checksum; nine varints.
constexpr size_t kFixedBytesMax = 6 + 16 + 9 * 10;
constexpr uint64_t kHashesMax = kTagsMax + kDependenciesMax;
constexpr char kDueIdleLimited = 1;
constexpr uint64_t kDueBytesMax = uint64_t{1} << 40;  // No chain has as many.

// Where a full L2 holds blobs of many sizes, what was evicted leaves holes of
// many sizes. Source: of 512 MiB around 16 KiB a piece, a put of 5 MiB in at
// most 8 pieces drove out all; in 64, a third.
constexpr int kExtentsAlways = 8;
constexpr uint64_t kExtentBytesMin = 8 * 1024;
constexpr size_t kExtentEntryBytesMax = 8 + 5;  // Two varints.

static_assert(kNamespaceIdBytes + kKeyBytesMax + kFixedBytesMax +
                  8 * (kTagsMax + kDependenciesMax) +
                  kExtentsAlways * kExtentEntryBytesMax <=
              kEntryBytesMax);

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("record: ", what));
}

uint64_t UnitsFor(uint64_t chain_bytes) {
  return (chain_bytes + kUnitBytes - 1) / kUnitBytes;
}

// Reads a field that `flags` may lack. What has its usual value is not stored:
// so a record has one encoding.
class FieldReader {
 public:
  FieldReader(ByteReader* in, uint16_t flags) : in_(*in), flags_(flags) {}

  bool Read(Flag flag, uint64_t usual, uint64_t max, uint64_t* out) {
    *out = usual;
    if ((flags_ & flag) == 0) return true;
    return in_.ReadVarint(out) && *out <= max && *out != usual;
  }
  bool ReadMillis(Flag flag, int64_t usual, uint64_t max, int64_t* out) {
    uint64_t value;
    if (!Read(flag, static_cast<uint64_t>(usual), max, &value)) return false;
    *out = static_cast<int64_t>(value);
    return true;
  }

 private:
  ByteReader& in_;
  const uint16_t flags_;
};

constexpr uint64_t kInt64Max =
    static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

absl::Status DecodeSizes(FieldReader* fields, ByteReader* in, uint16_t flags,
                         Record* r) {
  uint64_t header_bytes;
  if (!in->ReadVarint(&r->raw_bytes) || r->raw_bytes > kBlobBytesMax ||
      !fields->Read(kHasStoredBytes, r->raw_bytes, r->raw_bytes,
                    &r->stored_bytes) ||
      !fields->Read(kHasHeader, 0, std::numeric_limits<uint32_t>::max(),
                    &header_bytes)) {
    return Bad("sizes");
  }
  r->header_bytes = static_cast<uint32_t>(header_bytes);
  r->frame_is_zstd = (flags & kFrameIsZstd) != 0;
  if (r->header_bytes == 0) {
    const bool possible = r->frame_is_zstd ? r->stored_bytes > 0
                                           : r->stored_bytes == r->raw_bytes;
    if (r->raw_bytes > kFrameRawBytes || !possible) {
      return Bad(absl::StrCat("one frame: sizes: ", r->stored_bytes,
                              " stored, ", r->raw_bytes, " raw"));
    }
  } else if (r->frame_is_zstd) {
    return Bad("zstd: said of a frame, and there is a header");
  }
  return absl::OkStatus();
}

absl::Status DecodePolicy(FieldReader* fields, ByteReader* in, uint16_t flags,
                          Record* r) {
  r->rank = r->hlc.value;
  if ((flags & kHasRank) != 0) {
    uint64_t above;
    if (!in->ReadVarint(&above) ||
        above > std::numeric_limits<uint64_t>::max() - kRankMin ||
        kRankMin + above == r->hlc.value) {
      return Bad("rank");
    }
    r->rank = kRankMin + above;
  }
  if (!fields->ReadMillis(kHasExpiresAt, 0, kInt64Max,
                          &r->expiry.expires_at_unix_ms) ||
      !fields->ReadMillis(kHasIdleTtl, 0, kInt64Max, &r->expiry.idle_ttl_ms) ||
      !fields->ReadMillis(kHasStale, 0, kInt64Max, &r->expiry.stale_ms)) {
    return Bad("expiry");
  }
  if (!fields->ReadMillis(kHasLastAccess, r->hlc.unix_millis(),
                          kUnixMillisMax - 1, &r->last_access_unix_ms)) {
    return Bad("last access");
  }
  if (!fields->Read(kHasVersion, 0, std::numeric_limits<uint64_t>::max(),
                    &r->version)) {
    return Bad("version");
  }
  if ((flags & kHasPriority) != 0 &&
      (!in->ReadByte(&r->priority) || r->priority == kPriorityMost)) {
    return Bad("priority");
  }
  const int admission = (flags & kAdmissionBits) >> kAdmissionShift;
  if (admission > static_cast<int>(L1Admission::kNever)) {
    return Bad("l1 admission");
  }
  r->l1_admission = static_cast<L1Admission>(admission);
  return absl::OkStatus();
}

absl::Status DecodeHashes(ByteReader* in, Record* r) {
  uint64_t hashes;
  if (!in->ReadVarint(&hashes) || hashes == 0 || hashes > kHashesMax) {
    return Bad(
        absl::StrCat("invalidation hashes: missing or over ", kHashesMax));
  }
  for (uint64_t i = 0; i < hashes; ++i) {
    uint64_t h;
    if (!in->ReadFixed64(&h)) return Bad("invalidation hashes: cut short");
    r->invalidation_hashes.push_back(h);
  }
  return absl::OkStatus();
}

bool IsPossible(const Extent& e) {
  return e.units > 0 && e.units <= kBlobBytesMax &&
         e.first <= std::numeric_limits<uint64_t>::max() / kUnitBytes / 2;
}

absl::Status DecodeChainPlace(ByteReader* in, uint16_t flags, Record* r) {
  const uint64_t needed = UnitsFor(r->chain_bytes());
  if ((flags & kIsInline) != 0) {
    const absl::string_view chain = in->rest();
    if ((flags & kHasExtents) != 0 || chain.size() != r->chain_bytes() ||
        chain.size() > kInlineBytesMax) {
      return Bad(absl::StrCat("inline: ", chain.size(), " bytes vs expected ",
                              r->chain_bytes()));
    }
    r->inline_chain.assign(chain.data(), chain.size());
    return absl::OkStatus();
  }
  if ((flags & kHasExtents) == 0) {
    Extent one{0, needed};
    if (!in->ReadVarint(&one.first) || !IsPossible(one)) {
      return Bad("extent: bad run");
    }
    r->extents.push_back(one);
  } else {
    uint8_t extents;
    if (!in->ReadByte(&extents) || extents < 2 || extents > kExtentsMax) {
      return Bad(absl::StrCat("extents: count missing, under 2 or over ",
                              kExtentsMax));
    }
    uint64_t units = 0;
    for (int i = 0; i < extents; ++i) {
      Extent e;
      if (!in->ReadVarint(&e.first) || !in->ReadVarint(&e.units) ||
          !IsPossible(e)) {
        return Bad("extents: bad run");
      }
      units += e.units;
      r->extents.push_back(e);
    }
    if (units != needed) {
      return Bad(
          absl::StrCat("extents: ", units, " units vs expected ", needed));
    }
  }
  if (in->empty()) return absl::OkStatus();
  return Bad(absl::StrCat(in->rest().size(), " bytes left over"));
}

}  // namespace

bool FitsInline(absl::string_view record_key, const Record& r) {
  const size_t entry = record_key.size() + kFixedBytesMax +
                       8 * r.invalidation_hashes.size() + r.chain_bytes();
  return r.chain_bytes() <= kInlineBytesMax && entry <= kEntryBytesMax;
}

int ExtentsMaxOf(absl::string_view record_key, const Record& r) {
  const size_t others =
      record_key.size() + kFixedBytesMax + 8 * r.invalidation_hashes.size();
  const uint64_t fit = others < kEntryBytesMax
                           ? (kEntryBytesMax - others) / kExtentEntryBytesMax
                           : 0;
  const uint64_t most = std::min<uint64_t>(fit, kExtentsMax);
  return static_cast<int>(std::max<uint64_t>(
      kExtentsAlways, std::min(r.chain_bytes() / kExtentBytesMin, most)));
}

std::string EncodeRecord(const Record& r) {
  std::string out;
  out.reserve(64 + r.inline_chain.size());
  uint16_t flags = static_cast<uint16_t>(static_cast<int>(r.l1_admission)
                                         << kAdmissionShift);
  out.append(sizeof(flags), '\0');  // Below.
  AppendFixed64(&out, r.hlc.value);
  AppendFixed64(&out, r.payload_checksum);
  AppendVarint(&out, r.raw_bytes);
  const auto append = [&](Flag flag, uint64_t usual, uint64_t value) {
    if (value == usual) return;
    flags |= flag;
    AppendVarint(&out, value);
  };
  const auto append_millis = [&](Flag flag, int64_t usual, int64_t value) {
    append(flag, static_cast<uint64_t>(usual), static_cast<uint64_t>(value));
  };
  append(kHasStoredBytes, r.raw_bytes, r.stored_bytes);
  append(kHasHeader, 0, r.header_bytes);
  if (r.frame_is_zstd) flags |= kFrameIsZstd;
  if (r.rank != r.hlc.value) {
    LARDER_CHECK(r.rank >= kRankMin);
    flags |= kHasRank;
    AppendVarint(&out, r.rank - kRankMin);
  }
  append_millis(kHasExpiresAt, 0, r.expiry.expires_at_unix_ms);
  append_millis(kHasIdleTtl, 0, r.expiry.idle_ttl_ms);
  append_millis(kHasStale, 0, r.expiry.stale_ms);
  append_millis(kHasLastAccess, r.hlc.unix_millis(), r.last_access_unix_ms);
  append(kHasVersion, 0, r.version);
  if (r.priority != kPriorityMost) {
    flags |= kHasPriority;
    out.push_back(static_cast<char>(r.priority));
  }
  if (!r.invalidation_hashes.empty()) {
    flags |= kHasHashes;
    AppendVarint(&out, r.invalidation_hashes.size());
    for (uint64_t h : r.invalidation_hashes) AppendFixed64(&out, h);
  }
  if (r.extents.empty()) {
    flags |= kIsInline;
    out += r.inline_chain;
  } else if (r.extents.size() == 1) {
    AppendVarint(&out, r.extents[0].first);
  } else {
    flags |= kHasExtents;
    out.push_back(static_cast<char>(r.extents.size()));
    for (const Extent& e : r.extents) {
      AppendVarint(&out, e.first);
      AppendVarint(&out, e.units);
    }
  }
  std::memcpy(out.data(), &flags, sizeof(flags));
  return out;
}

absl::StatusOr<Record> DecodeRecord(absl::string_view bytes) {
  Record record;
  LARDER_RETURN_IF_ERROR(DecodeRecord(bytes, &record));
  return record;
}

absl::Status DecodeRecord(absl::string_view bytes, Record* r) {
  uint16_t flags;
  if (bytes.size() < sizeof(flags)) return Bad("flags");
  std::memcpy(&flags, bytes.data(), sizeof(flags));
  if ((flags & kUnknownFlags) != 0) return Bad("flags: unknown");
  ByteReader in(bytes.substr(sizeof(flags)));
  FieldReader fields(&in, flags);
  if (!in.ReadFixed64(&r->hlc.value) || !in.ReadFixed64(&r->payload_checksum)) {
    return Bad("hlc or payload checksum");
  }
  LARDER_RETURN_IF_ERROR(DecodeSizes(&fields, &in, flags, r));
  LARDER_RETURN_IF_ERROR(DecodePolicy(&fields, &in, flags, r));
  if ((flags & kHasHashes) != 0) LARDER_RETURN_IF_ERROR(DecodeHashes(&in, r));
  return DecodeChainPlace(&in, flags, r);
}

bool DecodeHlc(absl::string_view bytes, Hlc* hlc) {
  constexpr size_t kHlcAt = sizeof(uint16_t);  // Behind the flags.
  if (bytes.size() < kHlcAt + sizeof(hlc->value)) return false;
  hlc->value = LoadFixed64(bytes.data() + kHlcAt);
  return true;
}

bool MayHaveBeenPutOff(absl::string_view bytes) {
  uint16_t flags;
  if (bytes.size() < sizeof(flags)) return false;
  std::memcpy(&flags, bytes.data(), sizeof(flags));
  // The last access is that of the put, unless it is told.
  return (flags & kHasIdleTtl) != 0 && (flags & kHasLastAccess) != 0;
}

std::string RecordKey(uint32_t ns_id, absl::string_view key) {
  std::string out;
  out.reserve(kNamespaceIdBytes + key.size());
  AppendBig32(&out, ns_id);
  out.append(key.data(), key.size());
  return out;
}

LookupKey::LookupKey(uint32_t ns_id, absl::string_view key)
    : bytes_(kNamespaceIdBytes + key.size()) {
  const uint32_t big = __builtin_bswap32(ns_id);
  std::memcpy(bytes_.data(), &big, sizeof(big));
  if (!key.empty()) {
    std::memcpy(bytes_.data() + kNamespaceIdBytes, key.data(), key.size());
  }
}

bool SplitRecordKey(absl::string_view record_key, uint32_t* ns_id,
                    absl::string_view* key) {
  if (record_key.size() <= kNamespaceIdBytes ||
      record_key.size() > kNamespaceIdBytes + kKeyBytesMax) {
    return false;
  }
  *ns_id = LoadBig32(record_key.data());
  *key = record_key.substr(kNamespaceIdBytes);
  return true;
}

std::string OrderedKey(uint64_t at, absl::string_view record_key) {
  std::string out;
  out.reserve(8 + record_key.size());
  AppendBig64(&out, at);
  out.append(record_key.data(), record_key.size());
  return out;
}

std::string EncodeAgeEntry(const Record& r) {
  // 2^64 divided by the golden ratio: the upper bits depend on all of the HLC.
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  std::string out;
  AppendFixed32(&out, static_cast<uint32_t>((r.hlc.value * kMultiplier) >> 32));
  return out;
}

bool SplitOrderedKey(absl::string_view ordered_key, uint64_t* at,
                     absl::string_view* record_key) {
  if (ordered_key.size() <= 8) return false;
  *at = LoadBig64(ordered_key.data());
  *record_key = ordered_key.substr(8);
  return true;
}

DueEntry DueEntryOf(const Record& record) {
  return {.idle_limited = record.expiry.idle_ttl_ms != 0,
          .disk_bytes = DiskBytes(record)};
}

std::string EncodeDueEntry(const DueEntry& entry) {
  std::string out;
  out.push_back(entry.idle_limited ? kDueIdleLimited : '\0');
  AppendVarint(&out, entry.disk_bytes);
  return out;
}

absl::StatusOr<DueEntry> DecodeDueEntry(absl::string_view bytes) {
  ByteReader in(bytes);
  uint8_t flags;
  DueEntry entry;
  if (!in.ReadByte(&flags) || flags > kDueIdleLimited ||
      !in.ReadVarint(&entry.disk_bytes) || !in.empty() ||
      entry.disk_bytes > kDueBytesMax) {
    return absl::DataLossError("due entry: impossible");
  }
  entry.idle_limited = flags == kDueIdleLimited;
  return entry;
}

uint64_t DiskBytes(const Record& record) {
  return record.extents.empty() ? record.inline_chain.size()
                                : record.allocated_units() * kUnitBytes;
}

absl::uint128 DigestTerm(absl::string_view ns, absl::string_view key,
                         const Record& r) {
  // Kept: it is needed for each record that comes or goes.
  thread_local std::string b;
  b.clear();
  AppendBytes(&b, ns);
  AppendBytes(&b, key);
  AppendFixed64(&b, r.hlc.value);
  AppendFixed64(&b, static_cast<uint64_t>(r.expiry.expires_at_unix_ms));
  AppendFixed64(&b, static_cast<uint64_t>(r.expiry.idle_ttl_ms));
  AppendFixed64(&b, static_cast<uint64_t>(r.expiry.stale_ms));
  AppendFixed64(&b, r.version);
  b.push_back(static_cast<char>(r.priority));
  AppendFixed64(&b, r.raw_bytes);
  AppendFixed64(&b, r.payload_checksum);
  return Hash128(b);
}

}  // namespace larder::cache::l2
