#include "backup/sealed_lineages.h"

#include <algorithm>

namespace larder::backup {

void SealedLineages::Add(const format::DumpHeader& header) {
  if (!header.has_encryption()) return;
  for (const format::SourceInfo& source : header.sources()) {
    if (source.has_cache()) sealed_.insert(source.cache().lineage());
  }
}

bool SealedLineages::SealedBefore(const format::DumpHeader& header) const {
  const auto is_sealed = [this](const std::string& lineage) {
    return sealed_.contains(lineage);
  };
  return std::any_of(header.sources().begin(), header.sources().end(),
                     [&](const format::SourceInfo& source) {
                       if (!source.has_cache()) return false;
                       const format::CacheInfo& cache = source.cache();
                       return is_sealed(cache.lineage()) ||
                              std::any_of(cache.ancestors().begin(),
                                          cache.ancestors().end(), is_sealed);
                     });
}

}  // namespace larder::backup
