// Which caches a place holds sealed.
#ifndef LARDER_BACKUP_SEALED_LINEAGES_H_
#define LARDER_BACKUP_SEALED_LINEAGES_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// Thread-compatible. Memory: a lineage for each cache that was added.
class SealedLineages {
 public:
  // One more snapshot that the place has, sealed or not.
  void Add(const format::DumpHeader& header);

  // Whether a snapshot of one of the caches in `header`, or of one that it was
  // restored from, is sealed.
  bool SealedBefore(const format::DumpHeader& header) const;

 private:
  absl::flat_hash_set<std::string> sealed_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_SEALED_LINEAGES_H_
