// What damage cost, by name where the name is known.
#ifndef LARDER_BACKUP_LOSS_H_
#define LARDER_BACKUP_LOSS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace larder::backup {

// One blob, one file, or, where the names are lost too, a run of them.
struct Loss {
  enum class Kind { kBlob, kFile, kUnnamedBlobs, kUnnamedFiles };
  Kind kind = Kind::kBlob;
  std::string source;
  std::string ns;     // kBlob only.
  std::string name;   // Key or relative path; empty for unnamed ones.
  int64_t count = 1;  // More than one for unnamed ones only.
  std::string reason;
};

// Counts every loss; lists the first ones.
struct LossTally {
  int64_t blobs = 0;
  int64_t files = 0;
  std::vector<Loss> listed;
  bool empty() const { return blobs == 0 && files == 0; }
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_LOSS_H_
