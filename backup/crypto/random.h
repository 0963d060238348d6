// Random bytes for keys and salts.
#ifndef LARDER_BACKUP_CRYPTO_RANDOM_H_
#define LARDER_BACKUP_CRYPTO_RANDOM_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace larder::backup::crypto {

// Errors: kInternal: the system has none.
absl::StatusOr<std::string> RandomBytes(size_t bytes);

}  // namespace larder::backup::crypto

#endif  // LARDER_BACKUP_CRYPTO_RANDOM_H_
