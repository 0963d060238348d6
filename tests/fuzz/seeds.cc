#include "tests/fuzz/seeds.h"

#include <utility>

namespace larder::tests {

std::vector<Seed> AllSeeds() {
  std::vector<Seed> seeds = CacheSeeds();
  for (Seed& seed : BackupSeeds()) seeds.push_back(std::move(seed));
  for (Seed& seed : ReplicationSeeds()) seeds.push_back(std::move(seed));
  return seeds;
}

}  // namespace larder::tests
