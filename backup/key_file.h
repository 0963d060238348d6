// Reads the keys that dumps are sealed with.
#ifndef LARDER_BACKUP_KEY_FILE_H_
#define LARDER_BACKUP_KEY_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backup/crypto/key_ring.h"

namespace larder::backup {

// As KeyRing::Parse() takes it; only its owner may read the file. What was read
// is overwritten, also when it is refused.
// Errors: those of ReadPrivateFile() and KeyRing::Parse().
absl::StatusOr<std::shared_ptr<const crypto::KeyRing>> ReadKeyFile(
    const std::string& path);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_KEY_FILE_H_
