// An L2 to damage, to repair and to look at again. For tests of repairs.
#ifndef LARDER_CACHE_REPAIR_FIXTURE_H_
#define LARDER_CACHE_REPAIR_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/page.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2_image.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/repair_report.h"

namespace larder::cache {

class RepairTest : public ::testing::Test {
 public:
  static constexpr char kDirectory[] = "/l2";
  static constexpr uint64_t kSectorBytes = 512;

 protected:
  using Name = L2Anatomy::Name;

  static constexpr int kKeys = 260;
  static std::string KeyName(int i);
  // Some sit in the leaf, some in chains, one in several frames.
  static std::string ContentOf(int i);

  BlobCacheOptions Options(l2::SimulatedDisk* disk);

  // Fills "a" and a little of "b", in one commit.
  void SetUp() override;

  void Put(const std::string& ns, int i, PutOptions options = {});
  void Gone(const std::string& ns, const std::function<bool(int)>& which);

  // Ends the process, and takes what it left.
  void Take();

  void Scramble(uint64_t page);

  // Repairs the image on a disk of its own, and expects it to work.
  void Repair();

  // Opens it: what is alive and not reported is there, nothing else is.
  void CheckCache();
  bool NameIsLost() const;
  int64_t Dropped(DropCause cause) const {
    return report_.dropped_by_cause[static_cast<size_t>(cause)];
  }
  std::vector<Name> OnLeaf(uint64_t page) const;
  // The leaf of the system tree in which `key` is.
  uint64_t SystemLeafOf(const std::string& key) const;

  // Changes the sound image through `change`, and commits that: what no damage
  // makes, but a bug might.
  void Forge(
      const std::function<void(l2::RepairPages*, l2::Superblock*)>& change);
  static l2::ChildRef PutEntry(l2::RepairPages* pages, const l2::ChildRef& root,
                               uint64_t epoch, absl::string_view key,
                               absl::string_view value);

  ManualClock clock_{1'700'000'000'000};
  l2::SimulatedDisk source_;
  std::unique_ptr<BlobCache> cache_;
  std::map<Name, std::string> alive_;
  L2Image image_;
  L2Anatomy whole_;

  // What Repair() left, and what CheckCache() found.
  std::unique_ptr<l2::SimulatedDisk> disk_;
  RepairReport report_;
  std::set<Name> missing_;
  uint64_t generation_a_ = 0;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_REPAIR_FIXTURE_H_
