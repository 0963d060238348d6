// Random bytes that are drawn once and kept in a file.
#ifndef LARDER_REPLICATION_RANDOM_FILE_H_
#define LARDER_REPLICATION_RANDOM_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"

namespace larder::replication {

// The `size` bytes of the file `name` in `directory`, which is made, durably,
// when it is absent. One process at a time: whoever calls has the directory.
// Errors: kDataLoss: it has another size; what the file system says; no random
// bytes.
absl::StatusOr<std::string> OpenRandomFile(cache::l2::FileSystem* file_system,
                                           const std::string& directory,
                                           absl::string_view name, size_t size);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_RANDOM_FILE_H_
