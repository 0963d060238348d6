// Keys and values of the system tree: namespaces, tombstones, synopses.
// Bytes: docs/formats/l2.md, "system tree".
#ifndef LARDER_CACHE_L2_SYSTEM_TREE_H_
#define LARDER_CACHE_L2_SYSTEM_TREE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {

// First byte of a key.
inline constexpr char kNamespaceTag = 'n';
inline constexpr char kSynopsisTag = 's';
inline constexpr char kTombstoneTag = 't';
// The whole key of a replica's note (bytes).
inline constexpr absl::string_view kReplicaKey = "r";

// A plain value.
struct NamespaceEntry {
  uint32_t id = 0;
  uint64_t generation = 0;
  Hlc flushed_at;
  uint64_t records = 0;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t synopsis_keys_max = 0;  // 0: no synopsis yet.
  uint64_t synopsis_keys = 0;
  Hlc forgotten_through = {};  // See NamespaceState.
};
std::string NamespaceEntryKey(absl::string_view name);
std::string EncodeNamespaceEntry(const NamespaceEntry& entry);
absl::StatusOr<NamespaceEntry> DecodeNamespaceEntry(absl::string_view value);

// The newest tombstone of each (namespace, kind, value); `tombstone.ns` is not
// stored, the id is.
std::string TombstoneEntryKey(uint32_t ns_id, const Tombstone& tombstone);
uint32_t TombstoneEntryNamespace(absl::string_view key);  // Of such a key.
// `spent`: nothing in this L2 is left that it covers.
std::string EncodeTombstoneEntry(const Tombstone& tombstone, bool spent);
absl::StatusOr<Tombstone> DecodeTombstoneEntry(absl::string_view key,
                                               absl::string_view value,
                                               uint32_t* ns_id, bool* spent);

std::string SynopsisEntryKey(uint32_t ns_id, uint32_t chunk);
bool SplitSynopsisEntryKey(absl::string_view key, uint32_t* ns_id,
                           uint32_t* chunk);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SYSTEM_TREE_H_
