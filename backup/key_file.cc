#include "backup/key_file.h"

#include <openssl/crypto.h>

#include "absl/cleanup/cleanup.h"
#include "backup/private_file.h"
#include "cache/status_macros.h"

namespace larder::backup {

absl::StatusOr<std::shared_ptr<const crypto::KeyRing>> ReadKeyFile(
    const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(std::string text, ReadPrivateFile(path));
  const auto cleanse =
      absl::MakeCleanup([&text] { OPENSSL_cleanse(text.data(), text.size()); });
  return crypto::KeyRing::Parse(text, path);
}

}  // namespace larder::backup
