// Whether a due or an age tree holds just the entries of the records.
#ifndef LARDER_CACHE_L2_CHECK_ORDERED_H_
#define LARDER_CACHE_L2_CHECK_ORDERED_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/record.h"

namespace larder::cache::l2 {

// Adds up what the tree must hold while the records are read, and holds the sum
// of what it holds against that. Only when they differ does it look for the
// entries that are wrong, one lookup for each. Single-owner.
// Memory: one entry.
class OrderedCheck {
 public:
  // A cheap value; `tree` and `records` are of one commit.
  OrderedCheck(OrderedKind kind, const Tree& tree, const Tree& records)
      : kind_(kind), tree_(tree), records_(records) {}

  // To be called for each record.
  void Add(absl::string_view record_key, const Record& record);

  // Tells of each entry that is missing, of no record, or of another state of
  // its record. What a damaged page hides is not among them. Asks `cancelled`
  // at each entry.
  // Errors: kCancelled; what the source of the pages says.
  using WrongFn =
      absl::FunctionRef<void(absl::string_view record_key, std::string what)>;
  absl::Status Run(WrongFn wrong, absl::FunctionRef<bool()> cancelled) const;

 private:
  absl::Status FindSurplus(WrongFn wrong,
                           absl::FunctionRef<bool()> cancelled) const;
  absl::Status FindMissing(WrongFn wrong,
                           absl::FunctionRef<bool()> cancelled) const;

  const OrderedKind kind_;
  const Tree tree_, records_;
  absl::uint128 wanted_ = 0;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_CHECK_ORDERED_H_
