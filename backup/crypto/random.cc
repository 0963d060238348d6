#include "backup/crypto/random.h"

#include <openssl/rand.h>

#include "absl/status/status.h"

namespace larder::backup::crypto {

absl::StatusOr<std::string> RandomBytes(size_t bytes) {
  std::string random(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()),
                 static_cast<int>(bytes)) != 1) {
    return absl::InternalError("random bytes: the system gives none");
  }
  return random;
}

}  // namespace larder::backup::crypto
