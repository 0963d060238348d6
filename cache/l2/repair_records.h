// The records of a damaged L2: which of them are good, and the tree of those.
#ifndef LARDER_CACHE_L2_REPAIR_RECORDS_H_
#define LARDER_CACHE_L2_REPAIR_RECORDS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_ordered.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/repair_survey.h"
#include "cache/l2/repair_system.h"
#include "cache/repair_report.h"

namespace larder::cache::l2 {

// Single-owner. Used in this order: NoteLostLeaf() for each leaf that nothing
// leads to; Check(); then what it found is told; Build(). Borrows everything.
//
// Memory: a bit for each unit of `blobs` and each record, sixteen bytes for
// each lost leaf that can help, the fences of lost pages, one frame.
class RecordsRepair {
 public:
  struct Setting {
    const File* blobs;
    RepairPages* pages;
    SystemRepair* system;
    OrderedRepair* due;
    OrderedRepair* age;
    RepairReport* report;
  };
  RecordsRepair(const Setting& setting, const Survey& survey,
                const ChildRef& records, const ChildRef& age);

  // Returns: whether the leaf holds a record that is live, as the age tree
  // tells, and that no sound page of the records tree can hold.
  bool NoteLostLeaf(const ChildRef& ref, const PageView& leaf);

  // Reads every record that can be reached, and its chain; reports those that
  // must go.
  // Errors: kCancelled; what File says and is not kDataLoss.
  absl::Status Check(absl::FunctionRef<bool()> cancelled);

  // What stays. Build() changes it by what comes back and what the journal
  // removes.
  struct Totals {
    uint64_t due = 0;
    absl::uint128 digest = 0;
    SystemRepair::Counts counts;
  };
  const Totals& totals() const { return totals_; }
  const std::map<uint32_t, SystemRepair::Counts>& counts() const {
    return counts_;
  }
  const std::vector<bool>& live_units() const { return live_units_; }
  // Where chains were that are damaged: the first kDamagedExtentsMax of them.
  const std::vector<Extent>& damaged_extents() const {
    return damaged_extents_;
  }
  static constexpr size_t kDamagedExtentsMax = 10'000;
  // Whether the tree must be written anew.
  bool changed() const { return !lost_.empty() || dropped_any_; }

  // The new tree: what Check() left, without what the journal removes, and with
  // what lost leaves have of it. Reports what could not be found.
  absl::StatusOr<ChildRef> Build(uint64_t epoch);

 private:
  // A record of a known namespace.
  struct Known {
    Record record;
    uint32_t ns_id = 0;
    absl::string_view key;
    const SystemRepair::Space* space = nullptr;
  };
  struct Verdict {
    DropCause cause = DropCause::kRecord;
    std::string why;  // Empty: it is good.
  };
  // Sets what it finds out on the way.
  absl::StatusOr<Verdict> Judge(absl::string_view record_key,
                                absl::string_view value, Known* known);
  absl::StatusOr<bool> Take(absl::string_view record_key,
                            absl::string_view value, bool report);
  absl::Status CheckLeaf(const ChildRef& ref,
                         absl::FunctionRef<bool()> cancelled);
  void SetLive(const Record& record, bool live);
  bool Claim(const Record& record);
  void Account(const Known& known, int sign);
  bool IsLost(absl::string_view record_key) const;
  bool IsRemoved(absl::string_view record_key) const;
  bool IsLive(absl::string_view record_key, const Record& record) const;
  void Forget(absl::string_view record_key, absl::string_view value);
  absl::StatusOr<ChildRef> Recover(ChildRef root, uint64_t epoch);
  absl::Status ReportLost(const Tree& rebuilt);

  const Setting s_;
  const ChildRef root_;
  const Tree age_;
  // Key ranges, low to high, that lost pages held, and how many records.
  std::map<std::string, std::string, std::less<>> lost_;
  uint64_t lost_records_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> sources_;  // Epoch, page.

  std::vector<bool> live_units_;
  std::vector<Extent> damaged_extents_;
  std::vector<bool> keep_;  // By the record's place in the walk.
  bool dropped_any_ = false;
  Totals totals_;
  std::map<uint32_t, SystemRepair::Counts> counts_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_RECORDS_H_
