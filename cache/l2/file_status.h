// The statuses of file operations: the same text and codes from every
// FileSystem, so that a test against the simulated disk proves what the real
// one would say.
#ifndef LARDER_CACHE_L2_FILE_STATUS_H_
#define LARDER_CACHE_L2_FILE_STATUS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::cache::l2 {

// Says that `action` ("sync", "write 512 bytes at offset 0") on `path` failed
// with the system's `error_number`: `path: action: No space left on device`.
absl::Status FileError(absl::string_view path, absl::string_view action,
                       int error_number);

// The same for a read, write or view of a byte range; `verb` is "read".
absl::Status RangeError(absl::string_view path, absl::string_view verb,
                        uint64_t offset, uint64_t length, int error_number);

// Errors: kOutOfRange when [offset, offset + length) ends beyond `size_bytes`.
absl::Status CheckRange(absl::string_view path, absl::string_view verb,
                        uint64_t offset, uint64_t length, uint64_t size_bytes);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_FILE_STATUS_H_
