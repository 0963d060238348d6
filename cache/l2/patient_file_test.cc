#include "cache/l2/patient_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cache/l2/simulated_disk.h"

namespace larder::cache::l2 {
namespace {

using Unreadable = PatientFile::Unreadable;
constexpr uint64_t kSector = PatientFile::kSectorBytes;

class PatientFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = disk_.Open("/file", {.create = true});
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    ASSERT_TRUE(file_->Resize(8 * kSector).ok());
    ASSERT_TRUE(file_->WriteAt(0, std::string(8 * kSector, 'x')).ok());
    // Sectors that stay unreadable until they are written.
    disk_.SetFaultScript([this](const SimulatedDisk::Operation& now) {
      bool bad = false;
      for (uint64_t at = now.offset / kSector;
           now.length > 0 && at <= (now.offset + now.length - 1) / kSector;
           ++at) {
        if (now.kind == SimulatedDisk::OperationKind::kWrite) bad_.erase(at);
        bad |= bad_.contains(at);
      }
      if (now.kind == SimulatedDisk::OperationKind::kRead && fail_next_ > 0) {
        --fail_next_;
        bad = true;
      }
      return bad ? SimulatedDisk::Fault::Fail(EIO) : SimulatedDisk::Fault();
    });
  }
  static std::string Read(const PatientFile& file, uint64_t offset,
                          uint64_t length, absl::Status* status) {
    std::string bytes(length, '?');
    *status = file.ReadAt(offset, absl::MakeSpan(bytes));
    return bytes;
  }

  SimulatedDisk disk_;
  std::shared_ptr<File> file_;
  std::set<uint64_t> bad_;
  int fail_next_ = 0;
};

TEST_F(PatientFileTest, TriesAgain) {
  const PatientFile file(file_, Unreadable::kFails);
  absl::Status status;
  fail_next_ = PatientFile::kAttempts - 1;
  EXPECT_EQ(Read(file, 100, 10, &status), "xxxxxxxxxx");
  EXPECT_TRUE(status.ok()) << status;
  fail_next_ = PatientFile::kAttempts;
  Read(file, 100, 10, &status);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(fail_next_, 0);
}

TEST_F(PatientFileTest, ReadsAroundBadSectors) {
  bad_ = {1, 4};
  const PatientFile file(file_, Unreadable::kReadsAsZeros);
  absl::Status status;
  std::string expected(8 * kSector, 'x');
  std::fill_n(expected.begin() + kSector, kSector, '\0');
  std::fill_n(expected.begin() + 4 * kSector, kSector, '\0');
  EXPECT_EQ(Read(file, 0, 8 * kSector, &status), expected);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Read(file, 500, 600, &status), expected.substr(500, 600));
  // Beyond the end is another matter.
  Read(file, 8 * kSector - 5, 10, &status);
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
}

TEST_F(PatientFileTest, WritesZerosOnlyWhereNothingCanBeRead) {
  bad_ = {1, 4};
  PatientFile file(file_, Unreadable::kFails);
  const auto some = file.ZeroUnreadable(0, 4 * kSector, 2 * kSector);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_TRUE(*some);
  EXPECT_EQ(bad_, std::set<uint64_t>{4});
  absl::Status status;
  EXPECT_EQ(Read(file, 0, 4 * kSector, &status),
            std::string(2 * kSector, '\0') + std::string(2 * kSector, 'x'));
  const auto none = file.ZeroUnreadable(0, 4 * kSector, kSector);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(*none);
}

}  // namespace
}  // namespace larder::cache::l2
