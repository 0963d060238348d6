#include "cache/l2/stored_synopsis.h"

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

bool SynopsisFits(const NamespaceEntry& ns, uint64_t meta_bytes) {
  return ns.synopsis_keys_max / 8 <= meta_bytes + kPageBytes;
}

const char* FindSynopsisChunk(const Tree& system, uint32_t ns_id,
                              const SynopsisShape& shape, uint64_t chunk) {
  const absl::StatusOr<std::optional<absl::string_view>> bytes =
      system.Find(SynopsisEntryKey(ns_id, static_cast<uint32_t>(chunk)));
  const bool is_there = bytes.ok() && bytes->has_value() &&
                        (*bytes)->size() == shape.ChunkBytes(chunk);
  return is_there ? (*bytes)->data() : nullptr;
}

bool SynopsisCheck::Lacks(const NamespaceEntry& ns, uint64_t name_hash) {
  // Without one, readers look for everything.
  if (ns.synopsis_keys_max == 0) return false;
  if (synopsis_ == nullptr || ns_id_ != ns.id) {
    synopsis_ = std::make_unique<Synopsis>(ns.synopsis_keys_max);
    ns_id_ = ns.id;
  }
  return !synopsis_->MayContain(name_hash, [&](uint64_t chunk) {
    return FindSynopsisChunk(system_, ns.id, synopsis_->shape(), chunk);
  });
}

}  // namespace larder::cache::l2
