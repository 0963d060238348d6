#include "backup/sealed_lineages.h"

#include <algorithm>

namespace larder::backup {

void SealedLineages::Add(const format::DumpHeader& header) {
  for (const format::SourceInfo& source : header.sources()) {
    if (!source.has_cache()) continue;
    sealed_[source.cache().lineage()] = header.has_encryption();
  }
}

bool SealedLineages::SealedBefore(const format::CacheInfo& cache) const {
  const auto own = sealed_.find(cache.lineage());
  if (own != sealed_.end()) return own->second;
  for (const std::string& ancestor : cache.ancestors()) {
    const auto found = sealed_.find(ancestor);
    if (found != sealed_.end()) return found->second;
  }
  return false;
}

bool SealedLineages::SealedBefore(const format::DumpHeader& header) const {
  return std::any_of(header.sources().begin(), header.sources().end(),
                     [this](const format::SourceInfo& source) {
                       return source.has_cache() &&
                              SealedBefore(source.cache());
                     });
}

}  // namespace larder::backup
