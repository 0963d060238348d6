// How a set's files get from a disk to the repository and back.
#ifndef LARDER_TESTS_GOLDEN_GOLDEN_FILES_H_
#define LARDER_TESTS_GOLDEN_GOLDEN_FILES_H_

#include <cstddef>
#include <string>

#include "cache/l2/file.h"

namespace larder::tests {

// A larger file is stored as NAME.zst, one zstd frame: an L2 is mostly empty.
inline constexpr size_t kPackedBytesMin = 16 << 10;

// Copies the tree `from` of `file_system` to the directory `to` of this
// machine, and packs what is large.
void ExportTree(cache::l2::FileSystem* file_system, const std::string& from,
                const std::string& to);

// Copies the directory `from` of this machine to `to` of `file_system`, and
// unpacks what was packed.
void ImportTree(const std::string& from, cache::l2::FileSystem* file_system,
                const std::string& to);

}  // namespace larder::tests

#endif  // LARDER_TESTS_GOLDEN_GOLDEN_FILES_H_
