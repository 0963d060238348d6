// Files of a given mode, for tests of who may read a secret.
#ifndef LARDER_BACKUP_PRIVATE_FILE_TEST_SUPPORT_H_
#define LARDER_BACKUP_PRIVATE_FILE_TEST_SUPPORT_H_

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace larder::backup {

// Writes the file `name` of the test's own directory. Returns: its path.
inline std::string WriteFileWithMode(const std::string& name,
                                     const std::string& bytes, mode_t mode) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", name);
  std::ofstream(path) << bytes;
  // Not by open(): that leaves the umask's bits out, and an old file's mode.
  EXPECT_EQ(::chmod(path.c_str(), mode), 0);
  return path;
}

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PRIVATE_FILE_TEST_SUPPORT_H_
