// Synopses where the system tree holds them.
#ifndef LARDER_CACHE_L2_STORED_SYNOPSIS_H_
#define LARDER_CACHE_L2_STORED_SYNOPSIS_H_

#include <cstdint>
#include <memory>

#include "cache/l2/btree.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/system_tree.h"

namespace larder::cache::l2 {

// Whether a `meta` of so many bytes can hold the namespace's synopsis: none has
// fewer bits than keys.
bool SynopsisFits(const NamespaceEntry& ns, uint64_t meta_bytes);

// The bytes of a chunk, in their page; null when they are lost.
const char* FindSynopsisChunk(const Tree& system, uint32_t ns_id,
                              const SynopsisShape& shape, uint64_t chunk);

// Holds synopses against the records that there are. What a synopsis lacks is
// never found, since nobody looks any further.
//
// Single-owner. Cheap when asked namespace by namespace. Memory: eight bytes a
// chunk of one synopsis. Borrows the pages of `system`, which stay as they are.
class SynopsisCheck {
 public:
  explicit SynopsisCheck(const Tree& system) : system_(system) {}

  // Requires: SynopsisFits().
  bool Lacks(const NamespaceEntry& ns, uint64_t name_hash);

 private:
  const Tree system_;
  uint32_t ns_id_ = 0;  // Whose `synopsis_` is.
  std::unique_ptr<Synopsis> synopsis_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_STORED_SYNOPSIS_H_
