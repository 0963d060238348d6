#include "cache/l2/system_tree.h"

#include "absl/strings/str_cat.h"
#include "cache/l2/coding.h"
#include "cache/policy.h"

namespace larder::cache::l2 {
namespace {

// More keys than an L2 of 2^40 pages could hold: a sane bound for sizes read
// from disk.
constexpr uint64_t kSynopsisKeysMax = uint64_t{1} << 36;

// Behind the HLC of a spent tombstone.
constexpr char kSpent = 1;

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("system tree: ", what));
}

}  // namespace

std::string NamespaceEntryKey(absl::string_view name) {
  return absl::StrCat(absl::string_view(&kNamespaceTag, 1), name);
}

std::string EncodeNamespaceEntry(const NamespaceEntry& e) {
  std::string out;
  AppendFixed32(&out, e.id);
  AppendFixed64(&out, e.generation);
  AppendFixed64(&out, e.flushed_at.value);
  AppendFixed64(&out, e.records);
  AppendFixed64(&out, e.raw_bytes);
  AppendFixed64(&out, e.stored_bytes);
  AppendFixed64(&out, e.synopsis_keys_max);
  AppendFixed64(&out, e.synopsis_keys);
  if (e.forgotten_through != Hlc()) {
    AppendFixed64(&out, e.forgotten_through.value);
  }
  return out;
}

absl::StatusOr<NamespaceEntry> DecodeNamespaceEntry(absl::string_view value) {
  ByteReader in(value);
  NamespaceEntry e;
  if (!in.ReadFixed32(&e.id) || !in.ReadFixed64(&e.generation) ||
      !in.ReadFixed64(&e.flushed_at.value) || !in.ReadFixed64(&e.records) ||
      !in.ReadFixed64(&e.raw_bytes) || !in.ReadFixed64(&e.stored_bytes) ||
      !in.ReadFixed64(&e.synopsis_keys_max) ||
      !in.ReadFixed64(&e.synopsis_keys) || e.id == 0 ||
      e.synopsis_keys_max > kSynopsisKeysMax) {
    return Bad("namespace: impossible entry");
  }
  if (in.empty()) return e;
  if (!in.ReadFixed64(&e.forgotten_through.value) || !in.empty() ||
      e.forgotten_through == Hlc()) {
    return Bad("namespace: impossible end of entry");
  }
  return e;
}

std::string TombstoneEntryKey(uint32_t ns_id, const Tombstone& t) {
  std::string out(1, kTombstoneTag);
  AppendBig32(&out, ns_id);
  out.push_back(static_cast<char>(t.kind));
  out += t.value;
  return out;
}

uint32_t TombstoneEntryNamespace(absl::string_view key) {
  return LoadBig32(key.data() + 1);
}

std::string EncodeTombstoneEntry(const Tombstone& t, bool spent) {
  std::string out;
  AppendFixed64(&out, t.hlc.value);
  if (spent) out.push_back(kSpent);
  return out;
}

absl::StatusOr<Tombstone> DecodeTombstoneEntry(absl::string_view key,
                                               absl::string_view value,
                                               uint32_t* ns_id, bool* spent) {
  Tombstone t;
  *spent = value.size() == sizeof(t.hlc.value) + 1 && value.back() == kSpent;
  if (*spent) value.remove_suffix(1);
  ByteReader in(value);
  if (key.size() < 6 || key[0] != kTombstoneTag ||
      !in.ReadFixed64(&t.hlc.value) || !in.empty()) {
    return Bad("tombstone: impossible entry");
  }
  *ns_id = TombstoneEntryNamespace(key);
  t.kind = static_cast<TombstoneKind>(key[5]);
  t.value = std::string(key.substr(6));
  const bool hashed =
      t.kind == TombstoneKind::kTag || t.kind == TombstoneKind::kDependency;
  if ((!hashed && t.kind != TombstoneKind::kPrefix) ||
      (hashed && t.value.size() != 8) ||
      t.value.size() > static_cast<size_t>(kKeyBytesMax)) {
    return Bad("tombstone: impossible kind or value");
  }
  return t;
}

std::string SynopsisEntryKey(uint32_t ns_id, uint32_t chunk) {
  std::string out(1, kSynopsisTag);
  AppendBig32(&out, ns_id);
  AppendBig32(&out, chunk);
  return out;
}

bool SplitSynopsisEntryKey(absl::string_view key, uint32_t* ns_id,
                           uint32_t* chunk) {
  if (key.size() != 9 || key[0] != kSynopsisTag) return false;
  *ns_id = LoadBig32(key.data() + 1);
  *chunk = LoadBig32(key.data() + 5);
  return true;
}

}  // namespace larder::cache::l2
