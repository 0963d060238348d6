// The seeds of all fuzz targets, made by the encoders themselves.
#ifndef LARDER_TESTS_FUZZ_SEEDS_H_
#define LARDER_TESTS_FUZZ_SEEDS_H_

#include <cstddef>
#include <string>
#include <vector>

namespace larder::tests {

inline constexpr size_t kSeedBytesMax = 4096;

struct Seed {
  std::string target;  // The fuzz target's name.
  std::string name;    // Its file in the target's directory.
  std::string bytes;
};

std::vector<Seed> BackupSeeds();
std::vector<Seed> CacheSeeds();
std::vector<Seed> ReplicationSeeds();

// All of them; the same on every run.
std::vector<Seed> AllSeeds();

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_SEEDS_H_
