#include "cache/l2/record.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {
namespace {

constexpr uint8_t kRecordFormat = 1;
constexpr uint64_t kUnixMillisMax = uint64_t{1} << 48;  // As in the HLC.
// All fields but hashes, extents and inline bytes, at their longest: format,
// admission, priority, extent count; HLC and checksum; nine varints.
constexpr size_t kFixedBytesMax = 4 + 16 + 9 * 10 + 2;
constexpr uint64_t kHashesMax = kTagsMax + kDependenciesMax;
constexpr char kDueIdleLimited = 1;
constexpr uint64_t kDueBytesMax = uint64_t{1} << 40;  // No chain has as many.

static_assert(kNamespaceIdBytes + kKeyBytesMax + kFixedBytesMax +
                  8 * (kTagsMax + kDependenciesMax) + kExtentsMax * 20 <=
              kEntryBytesMax);

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("record: ", what));
}

bool ReadMillis(ByteReader* in, int64_t* out) {
  uint64_t v;
  if (!in->ReadVarint(&v) ||
      v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return false;
  }
  *out = static_cast<int64_t>(v);
  return true;
}

bool ReadHlc(ByteReader* in, Hlc* out) { return in->ReadFixed64(&out->value); }

absl::Status DecodeChainPlace(ByteReader* in, Record* r) {
  uint8_t extents;
  if (!in->ReadByte(&extents) || extents > kExtentsMax) {
    return Bad(absl::StrCat("extents: count missing or over ", kExtentsMax));
  }
  if (extents == 0) {
    absl::string_view chain;
    if (!in->ReadBytes(kInlineBytesMax, &chain)) return Bad("inline: length");
    if (chain.size() != r->chain_bytes()) {
      return Bad(absl::StrCat("inline: ", chain.size(), " bytes vs expected ",
                              r->chain_bytes()));
    }
    r->inline_chain.assign(chain.data(), chain.size());
    return absl::OkStatus();
  }
  uint64_t units = 0;
  for (int i = 0; i < extents; ++i) {
    Extent e;
    if (!in->ReadVarint(&e.first) || !in->ReadVarint(&e.units) ||
        e.units == 0 || e.units > kBlobBytesMax ||
        e.first > std::numeric_limits<uint64_t>::max() / kUnitBytes / 2) {
      return Bad("extents: bad run");
    }
    units += e.units;
    r->extents.push_back(e);
  }
  const uint64_t needed = (r->chain_bytes() + kUnitBytes - 1) / kUnitBytes;
  if (units != needed) {
    return Bad(absl::StrCat("extents: ", units, " units vs expected ", needed));
  }
  return absl::OkStatus();
}

}  // namespace

bool FitsInline(absl::string_view record_key, const Record& r) {
  const size_t entry = record_key.size() + kFixedBytesMax +
                       8 * r.invalidation_hashes.size() + r.chain_bytes();
  return r.chain_bytes() <= kInlineBytesMax && entry <= kEntryBytesMax;
}

std::string EncodeRecord(const Record& r) {
  std::string out;
  out.reserve(96 + r.inline_chain.size());
  out.push_back(static_cast<char>(kRecordFormat));
  AppendFixed64(&out, r.hlc.value);
  AppendVarint(&out, r.age_hlc.value - r.hlc.value);
  AppendVarint(&out, static_cast<uint64_t>(r.expiry.expires_at_unix_ms));
  AppendVarint(&out, static_cast<uint64_t>(r.expiry.idle_ttl_ms));
  AppendVarint(&out, static_cast<uint64_t>(r.expiry.stale_ms));
  AppendVarint(&out, static_cast<uint64_t>(r.last_access_unix_ms));
  AppendVarint(&out, r.version);
  out.push_back(static_cast<char>(r.priority));
  out.push_back(static_cast<char>(r.l1_admission));
  AppendVarint(&out, r.raw_bytes);
  AppendVarint(&out, r.stored_bytes);
  AppendVarint(&out, r.header_bytes);
  AppendFixed64(&out, r.payload_checksum);
  AppendVarint(&out, r.invalidation_hashes.size());
  for (uint64_t h : r.invalidation_hashes) AppendFixed64(&out, h);
  out.push_back(static_cast<char>(r.extents.size()));
  if (r.extents.empty()) {
    AppendBytes(&out, r.inline_chain);
  } else {
    for (const Extent& e : r.extents) {
      AppendVarint(&out, e.first);
      AppendVarint(&out, e.units);
    }
  }
  return out;
}

absl::StatusOr<Record> DecodeRecord(absl::string_view bytes) {
  ByteReader in(bytes);
  Record r;
  uint8_t format, admission;
  uint64_t age_delta, header_bytes, hashes;
  if (!in.ReadByte(&format)) return Bad("empty");
  if (format != kRecordFormat) {
    return Bad(
        absl::StrCat("format: ", format, " vs expected ", kRecordFormat));
  }
  if (!ReadHlc(&in, &r.hlc) || !in.ReadVarint(&age_delta)) return Bad("hlc");
  r.age_hlc.value = r.hlc.value + age_delta;
  if (r.age_hlc < r.hlc) return Bad("age hlc overflows");
  if (!ReadMillis(&in, &r.expiry.expires_at_unix_ms) ||
      !ReadMillis(&in, &r.expiry.idle_ttl_ms) ||
      !ReadMillis(&in, &r.expiry.stale_ms)) {
    return Bad("expiry");
  }
  if (!ReadMillis(&in, &r.last_access_unix_ms) ||
      static_cast<uint64_t>(r.last_access_unix_ms) >= kUnixMillisMax) {
    return Bad("last access");
  }
  if (!in.ReadVarint(&r.version) || !in.ReadByte(&r.priority)) {
    return Bad("version or priority");
  }
  if (!in.ReadByte(&admission) ||
      admission > static_cast<uint8_t>(L1Admission::kNever)) {
    return Bad("l1 admission");
  }
  r.l1_admission = static_cast<L1Admission>(admission);
  if (!in.ReadVarint(&r.raw_bytes) || r.raw_bytes > kBlobBytesMax ||
      !in.ReadVarint(&r.stored_bytes) || r.stored_bytes > r.raw_bytes ||
      !in.ReadVarint(&header_bytes) ||
      header_bytes > std::numeric_limits<uint32_t>::max()) {
    return Bad("sizes");
  }
  r.header_bytes = static_cast<uint32_t>(header_bytes);
  if (!in.ReadFixed64(&r.payload_checksum)) return Bad("payload checksum");
  if (!in.ReadVarint(&hashes) || hashes > kHashesMax) {
    return Bad(
        absl::StrCat("invalidation hashes: missing or over ", kHashesMax));
  }
  for (uint64_t i = 0; i < hashes; ++i) {
    uint64_t h;
    if (!in.ReadFixed64(&h)) return Bad("invalidation hashes: cut short");
    r.invalidation_hashes.push_back(h);
  }
  if (absl::Status s = DecodeChainPlace(&in, &r); !s.ok()) return s;
  if (!in.empty()) {
    return Bad(absl::StrCat(in.rest().size(), " bytes left over"));
  }
  return r;
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
