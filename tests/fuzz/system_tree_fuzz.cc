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

// Of two chunks, of different sizes.
void CheckSynopsis(absl::string_view value) {
  constexpr uint64_t kKeys = 2000;
  Synopsis s(kKeys);
  LARDER_CHECK(s.chunks() == 2);
  const uint64_t hash = Synopsis::HashKey(value);
  for (uint64_t i = 0; i < s.chunks(); ++i) {
    const size_t size = s.Chunk(i).size();
    LARDER_CHECK(s.LoadChunk(i, value) == (value.size() == size));
    std::string chunk(value);
    chunk.resize(size);
    LARDER_CHECK(s.LoadChunk(i, chunk) && s.Chunk(i) == chunk);
  }
  LARDER_CHECK(!s.LoadChunk(s.chunks(), value));
  const bool before = s.MayContain(hash);
  s.Add(hash);
  LARDER_CHECK(s.MayContain(hash));
  LARDER_CHECK(s.TakeDirtyChunks().size() == (before ? 0 : 1));
  for (uint64_t i = 0; i < s.chunks(); ++i) s.FillChunk(i);
  LARDER_CHECK(s.MayContain(~hash));
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
