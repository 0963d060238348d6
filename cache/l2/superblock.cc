#include "cache/l2/superblock.h"

#include <cstring>
#include <optional>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/l2/record.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kMagic = 0x324c52454452414cULL;  // "LARDERL2"
// Page numbers and epochs have 48 bits in pages; an HLC past this, in the year
// 6429, would leave no room for the clock to go on.
constexpr uint64_t kEpochMax = uint64_t{1} << 47;
constexpr uint64_t kHlcMax = uint64_t{1} << 63;
constexpr size_t kChecksumOffset = kPageBytes - 8;  // Over all before it.

void AppendRef(std::string* out, const ChildRef& ref) {
  AppendFixed64(out, ref.page);
  AppendFixed64(out, ref.epoch);
  AppendFixed64(out, ref.checksum);
  AppendFixed64(out, ref.entries);
}

bool ReadRef(ByteReader* in, ChildRef* ref) {
  return in->ReadFixed64(&ref->page) && in->ReadFixed64(&ref->epoch) &&
         in->ReadFixed64(&ref->checksum) && in->ReadFixed64(&ref->entries);
}

void AppendLineage(std::string* out, const Lineage& lineage) {
  out->append(reinterpret_cast<const char*>(lineage.data()), lineage.size());
}

bool ReadLineage(ByteReader* in, Lineage* lineage) {
  absl::string_view bytes;
  if (!in->ReadRaw(lineage->size(), &bytes)) return false;
  std::memcpy(lineage->data(), bytes.data(), bytes.size());
  return true;
}

bool ReadAncestors(ByteReader* in, std::vector<Lineage>* ancestors) {
  uint32_t count;
  if (!in->ReadFixed32(&count) || count > kAncestorsMax) return false;
  ancestors->resize(count);
  for (Lineage& lineage : *ancestors) {
    if (!ReadLineage(in, &lineage)) return false;
  }
  return true;
}

bool ReadUint128(ByteReader* in, absl::uint128* v) {
  uint64_t low, high;
  if (!in->ReadFixed64(&low) || !in->ReadFixed64(&high)) return false;
  *v = absl::MakeUint128(high, low);
  return true;
}

}  // namespace

std::string EncodeSuperblock(const Superblock& s) {
  std::string out;
  out.reserve(kPageBytes);
  AppendFixed64(&out, kMagic);
  AppendFixed32(&out, kFormatVersion);
  AppendFixed32(&out, kPageBytes);
  AppendFixed32(&out, kUnitBytes);
  AppendFixed32(&out, s.next_namespace_id);
  AppendLineage(&out, s.lineage);
  AppendFixed64(&out, s.epoch);
  AppendFixed64(&out, s.hlc.value);
  for (const ChildRef* ref : {&s.records, &s.due, &s.age, &s.system}) {
    AppendRef(&out, *ref);
  }
  AppendFixed64(&out, s.record_count);
  AppendFixed64(&out, s.raw_bytes);
  AppendFixed64(&out, s.stored_bytes);
  AppendFixed64(&out, absl::Uint128Low64(s.content_digest));
  AppendFixed64(&out, absl::Uint128High64(s.content_digest));
  AppendFixed64(&out, s.meta_pages);
  AppendFixed64(&out, s.blob_units);
  AppendFixed32(&out, s.unsynced ? 1 : 0);
  LARDER_CHECK(s.ancestors.size() <= kAncestorsMax);
  AppendFixed32(&out, static_cast<uint32_t>(s.ancestors.size()));
  for (const Lineage& lineage : s.ancestors) AppendLineage(&out, lineage);
  LARDER_CHECK(out.size() <= kChecksumOffset);
  out.resize(kChecksumOffset, '\0');
  AppendFixed64(&out, Checksum64(out));
  return out;
}

absl::StatusOr<Superblock> DecodeSuperblock(absl::string_view page) {
  if (page.size() != kPageBytes) {
    return absl::DataLossError(absl::StrCat("superblock: ", page.size(),
                                            " bytes vs expected ", kPageBytes));
  }
  ByteReader in(page.substr(0, kChecksumOffset));
  uint64_t magic;
  uint32_t version, page_bytes, unit_bytes, unsynced;
  Superblock s;
  in.ReadFixed64(&magic);
  in.ReadFixed32(&version);
  if (magic != kMagic) {
    return absl::DataLossError(absl::StrFormat(
        "superblock: magic: found %#x vs expected %#x", magic, kMagic));
  }
  const uint64_t stored = LoadFixed64(page.data() + kChecksumOffset);
  const uint64_t found = Checksum64(page.substr(0, kChecksumOffset));
  if (found != stored) {
    return absl::DataLossError(absl::StrFormat(
        "superblock: checksum: found %#x vs expected %#x", found, stored));
  }
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "superblock: format version: found %d vs expected %d: written by %s "
        "Larder",
        version, kFormatVersion,
        version > kFormatVersion ? "a newer" : "an older"));
  }
  if (!in.ReadFixed32(&page_bytes) || page_bytes != kPageBytes ||
      !in.ReadFixed32(&unit_bytes) || unit_bytes != kUnitBytes ||
      !in.ReadFixed32(&s.next_namespace_id) || !ReadLineage(&in, &s.lineage) ||
      !in.ReadFixed64(&s.epoch) || !in.ReadFixed64(&s.hlc.value) ||
      !ReadRef(&in, &s.records) || !ReadRef(&in, &s.due) ||
      !ReadRef(&in, &s.age) || !ReadRef(&in, &s.system) ||
      !in.ReadFixed64(&s.record_count) || !in.ReadFixed64(&s.raw_bytes) ||
      !in.ReadFixed64(&s.stored_bytes) ||
      !ReadUint128(&in, &s.content_digest) || !in.ReadFixed64(&s.meta_pages) ||
      !in.ReadFixed64(&s.blob_units) || !in.ReadFixed32(&unsynced) ||
      !ReadAncestors(&in, &s.ancestors) || unsynced > 1 || s.epoch == 0 ||
      s.epoch >= kEpochMax || s.meta_pages >= kEpochMax ||
      s.blob_units >= kEpochMax || s.hlc.value > kHlcMax) {
    return absl::DataLossError("superblock: impossible field");
  }
  s.unsynced = unsynced != 0;
  return s;
}

absl::StatusOr<Superblock> ReadSuperblock(const File& meta, uint64_t page,
                                          bool* has_magic) {
  const uint64_t offset = page * kPageBytes;
  *has_magic = false;
  std::string bytes(kPageBytes, '\0');
  absl::Status status = absl::OkStatus();
  if (meta.Size() < offset + kPageBytes) {
    status = absl::DataLossError(
        absl::StrCat("superblock: the file ends at ", meta.Size()));
  } else {
    status = meta.ReadAt(offset, absl::MakeSpan(bytes));
  }
  if (status.ok()) {
    *has_magic = LoadFixed64(bytes.data()) == kMagic;
    absl::StatusOr<Superblock> s = DecodeSuperblock(bytes);
    if (s.ok()) return s;
    status = s.status();
  }
  return absl::Status(status.code(),
                      absl::StrCat(meta.path(), ": page ", page, " at offset ",
                                   offset, ": ", status.message()));
}

absl::StatusOr<Superblock> ReadNewestSuperblock(const File& meta) {
  std::optional<Superblock> newest;
  absl::Status worst = absl::OkStatus();
  bool any_magic = false;
  for (uint64_t page = 0; page < kSuperblockPages; ++page) {
    bool has_magic;
    const absl::StatusOr<Superblock> s = ReadSuperblock(meta, page, &has_magic);
    if (s.ok()) {
      if (!newest.has_value() || s->epoch > newest->epoch) newest = *s;
      continue;
    }
    any_magic |= has_magic;
    if (worst.ok() || absl::IsFailedPrecondition(s.status())) {
      worst = s.status();
    }
  }
  // A newer format may have been written beside an older superblock.
  if (absl::IsFailedPrecondition(worst)) return worst;
  if (newest.has_value()) return *newest;
  if (!any_magic) {
    return absl::FailedPreconditionError(
        absl::StrCat(meta.path(), ": not an L2: no superblock in the first ",
                     kSuperblockPages, " pages"));
  }
  return worst;
}

absl::Status WriteSuperblock(const Superblock& s, File* meta) {
  const std::string bytes = EncodeSuperblock(s);
  const uint64_t first = 2 * (s.epoch % 2);
  LARDER_RETURN_IF_ERROR(meta->WriteAt(first * kPageBytes, bytes));
  return meta->WriteAt((first + 1) * kPageBytes, bytes);
}

absl::Status ReplaceSuperblocks(const Superblock& s, File* meta) {
  const std::string bytes = EncodeSuperblock(s);
  const uint64_t own = 2 * (s.epoch % 2);
  // The newest pair last: until the others are safe, it is.
  for (const uint64_t first : {2 - own, own}) {
    LARDER_RETURN_IF_ERROR(meta->WriteAt(first * kPageBytes, bytes));
    LARDER_RETURN_IF_ERROR(meta->WriteAt((first + 1) * kPageBytes, bytes));
    LARDER_RETURN_IF_ERROR(meta->Sync());
  }
  return absl::OkStatus();
}

Lineage NewLineage(uint64_t seed) {
  Lineage lineage;
  std::random_device device;
  std::mt19937_64 seeded(seed);
  for (uint8_t& b : lineage) {
    b = static_cast<uint8_t>(seed != 0 ? seeded() : device());
  }
  lineage[6] = (lineage[6] & 0x0f) | 0x40;  // UUID version 4,
  lineage[8] = (lineage[8] & 0x3f) | 0x80;  // variant 1 (RFC 4122).
  return lineage;
}

std::string LineageText(const Lineage& b) {
  std::string out;
  for (size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
    absl::StrAppendFormat(&out, "%02x", b[i]);
  }
  return out;
}

std::optional<Lineage> ParseLineage(absl::string_view text) {
  const std::string bytes =
      absl::HexStringToBytes(absl::StrReplaceAll(text, {{"-", ""}}));
  Lineage lineage;
  if (bytes.size() != lineage.size()) return std::nullopt;
  std::memcpy(lineage.data(), bytes.data(), bytes.size());
  if (LineageText(lineage) != text) return std::nullopt;
  return lineage;
}

}  // namespace larder::cache::l2
