// The files of an L2 as bytes, to be damaged, and what is where in them. For
// tests of what damage does.
#ifndef LARDER_CACHE_L2_IMAGE_H_
#define LARDER_CACHE_L2_IMAGE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "cache/l2/record.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"

namespace larder::cache {

// Bytes by the name of the file.
using L2Image = std::map<std::string, std::string>;

// Failures are the test's.
L2Image ReadImage(l2::SimulatedDisk* disk, const std::string& directory);
// Makes the directory, durably.
void WriteImage(const L2Image& image, l2::SimulatedDisk* disk,
                const std::string& directory);

// A file of an image, to look at. Borrows the bytes.
class ImageFile : public l2::File {
 public:
  explicit ImageFile(const std::string* bytes) : bytes_(bytes) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override;
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Resize(uint64_t size_bytes) override;
  uint64_t Size() const override { return bytes_->size(); }
  absl::StatusOr<const char*> View(uint64_t offset,
                                   uint64_t length) const override;
  const std::string& path() const override { return path_; }

 private:
  const std::string* const bytes_;
  const std::string path_ = "image";
};

// What a sound image holds, and where. A plain value.
struct L2Anatomy {
  using Name = std::pair<std::string, std::string>;  // Namespace, key.
  struct Blob {
    l2::Record record;
    uint32_t ns_id = 0;
    Name name;
    // Pages from the root to the leaf, of the records and of the age tree.
    std::vector<uint64_t> path, age_path;
  };

  l2::Superblock superblock;                   // The newest.
  std::vector<l2::Superblock> superblocks;     // All that are sound.
  std::map<std::string, std::string> records;  // Values by record key.
  std::map<std::string, Blob> blobs;           // The same, decoded.
  // Pages of each tree, the root first.
  std::vector<uint64_t> records_pages, due_pages, age_pages, system_pages;
  // Leaves of the system tree: the first and the last key of each.
  std::map<uint64_t, std::pair<std::string, std::string>> system_leaves;

  const Blob* Find(const std::string& ns, const std::string& key) const;
};

L2Anatomy Dissect(const L2Image& image);

// The records that a replica of `before` holds after the leaves of `now` that
// are newer.
std::map<std::string, std::string> ApplyDelta(const L2Anatomy& before,
                                              const L2Image& now);

}  // namespace larder::cache

#endif  // LARDER_CACHE_L2_IMAGE_H_
