// Entries of the system tree encode to what they were decoded from; a synopsis
// takes any chunk of the right size and answers safely.
//
// Input: u8 size, key; the rest is the value.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/system_tree.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/tombstone.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

void CheckNamespace(absl::string_view value) {
  const absl::StatusOr<NamespaceEntry> e = DecodeNamespaceEntry(value);
  if (!e.ok()) {
    LARDER_CHECK(absl::IsDataLoss(e.status()));
    return;
  }
  LARDER_CHECK(e->id != 0);
  LARDER_CHECK(EncodeNamespaceEntry(*e) == value);
}

void CheckTombstone(absl::string_view key, absl::string_view value) {
  uint32_t ns_id;
  bool spent;
  const absl::StatusOr<Tombstone> t =
      DecodeTombstoneEntry(key, value, &ns_id, &spent);
  if (!t.ok()) {
    LARDER_CHECK(absl::IsDataLoss(t.status()));
    return;
  }
  LARDER_CHECK(t->kind == TombstoneKind::kTag ||
               t->kind == TombstoneKind::kDependency ||
               t->kind == TombstoneKind::kPrefix);
  LARDER_CHECK(t->value.size() <= static_cast<size_t>(kKeyBytesMax));
  LARDER_CHECK(TombstoneEntryKey(ns_id, *t) == key);
  LARDER_CHECK(TombstoneEntryNamespace(key) == ns_id);
  LARDER_CHECK(EncodeTombstoneEntry(*t, spent) == value);
}

// Whatever bytes a chunk has, it can be asked, and added to.
void CheckSynopsis(absl::string_view value) {
  const SynopsisShape shape(2000);
  LARDER_CHECK(shape.chunks() == 2);  // Of different sizes.
  const uint64_t hash = NameHash("ns", value);
  std::string chunks[2];
  for (uint64_t i = 0; i < shape.chunks(); ++i) {
    chunks[i] = std::string(value);
    chunks[i].resize(shape.ChunkBytes(i));
    chunks[i].back() = SynopsisShape::kChunkMark;
  }
  const Synopsis synopsis(2000);
  const auto find = [&](uint64_t chunk) { return chunks[chunk].data(); };
  const bool before = synopsis.MayContain(hash, find);
  const SynopsisShape::Place place = shape.PlaceOf(hash);
  LARDER_CHECK(AddToSynopsisBlock(&chunks[place.chunk][place.offset], hash) ==
               !before);
  LARDER_CHECK(synopsis.MayContain(hash, find));
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view input = larder::tests::Input(data + 1, size - 1);
  const absl::string_view key = input.substr(0, data[0]);
  const absl::string_view value = input.substr(key.size());
  larder::cache::l2::CheckNamespace(value);
  larder::cache::l2::CheckTombstone(key, value);
  larder::cache::l2::CheckSynopsis(value);
  return 0;
}
