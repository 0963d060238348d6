// Which caches a place holds sealed.
#ifndef LARDER_BACKUP_SEALED_LINEAGES_H_
#define LARDER_BACKUP_SEALED_LINEAGES_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// Thread-compatible. Memory: a lineage for each cache that was added.
class SealedLineages {
 public:
  // The next newer snapshot.
  void Add(const format::DumpHeader& header);

  // Whether one of the caches in `header` has a newest snapshot that is sealed;
  // where there is none of its lineage, that of the nearest ancestor counts.
  bool SealedBefore(const format::DumpHeader& header) const;

 private:
  bool SealedBefore(const format::CacheInfo& cache) const;

  // By lineage, of its newest snapshot.
  absl::flat_hash_map<std::string, bool> sealed_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_SEALED_LINEAGES_H_
