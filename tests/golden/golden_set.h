// Archives, and the files of a live replica and its primary, as this version
// writes them: what later versions must still read.
#ifndef LARDER_TESTS_GOLDEN_GOLDEN_SET_H_
#define LARDER_TESTS_GOLDEN_GOLDEN_SET_H_

#include <cstdint>
#include <string>

namespace larder::tests {

// All of a set happened from this moment on.
inline constexpr int64_t kGoldenUnixMillis = 1'700'000'000'000;
// From the root of the workspace: a folder for each version of larder.
inline constexpr char kGoldenRoot[] = "tests/golden";

// Writes a set to `root`, which is absent or empty:
//
//   full     a full dump: every kind of blob, attribute and invalidation
//   chain    a full dump and two deltas
//   folded   ten snapshots, the ninth of them folded
//   files    a dump of two directories
//   both     a dump of a cache and a directory
//   hydrating  the L2 of a lazy restore of `chain`, half way
//   primary  the L2 that the live replica follows, killed with a flush that no
//            commit has
//   live     the L2 of a live replica, and beside it a dump on its way
//
// Large files are packed (golden_files.h).
// The same on every run, but for the replica's secret.
void WriteGoldenSet(const std::string& root);

}  // namespace larder::tests

#endif  // LARDER_TESTS_GOLDEN_GOLDEN_SET_H_
