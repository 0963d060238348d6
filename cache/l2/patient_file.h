// A file that is asked again before what it cannot read counts as lost.
#ifndef LARDER_CACHE_L2_PATIENT_FILE_H_
#define LARDER_CACHE_L2_PATIENT_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"

namespace larder::cache::l2 {

// Thread-safe, as the file that it owns. For repairs: a cable or a controller
// that fails once must not cost what is stored.
class PatientFile : public File {
 public:
  // How often a read is tried. Source: disks have tried dozens of times
  // themselves before they say so; this is for what lies between.
  static constexpr int kAttempts = 3;
  static constexpr uint64_t kSectorBytes = 512;

  enum class Unreadable {
    kFails,         // As with any file: kDataLoss.
    kReadsAsZeros,  // By sectors: the others read as they are.
  };
  PatientFile(std::shared_ptr<File> file, Unreadable unreadable)
      : file_(std::move(file)), unreadable_(unreadable) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override {
    return file_->WriteAt(offset, data);
  }
  absl::Status Sync() override { return file_->Sync(); }
  absl::Status Resize(uint64_t size_bytes) override {
    return file_->Resize(size_bytes);
  }
  uint64_t Size() const override { return file_->Size(); }
  absl::StatusOr<const char*> View(uint64_t offset,
                                   uint64_t length) const override {
    return file_->View(offset, length);
  }
  const std::string& path() const override { return file_->path(); }

  // Writes zeros over what of [offset, offset + length) cannot be read, by
  // blocks of `block_bytes`: a disk then puts another sector there. Offset and
  // length are multiples of it.
  // Returns: whether anything was written.
  absl::StatusOr<bool> ZeroUnreadable(uint64_t offset, uint64_t length,
                                      uint64_t block_bytes);

 private:
  absl::Status Try(uint64_t offset, absl::Span<char> out) const;

  const std::shared_ptr<File> file_;
  const Unreadable unreadable_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_PATIENT_FILE_H_
