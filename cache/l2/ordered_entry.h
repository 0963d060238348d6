// What the due and the age tree hold of a record: they follow from the records.
#ifndef LARDER_CACHE_L2_ORDERED_ENTRY_H_
#define LARDER_CACHE_L2_ORDERED_ENTRY_H_

#include <optional>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"
#include "cache/l2/record.h"

namespace larder::cache::l2 {

enum class OrderedKind { kDue, kAge };

// What a tree of this kind holds of a record; nothing when that is nothing.
struct OrderedEntry {
  std::string key;
  std::string value;
};
std::optional<OrderedEntry> OrderedEntryOf(OrderedKind kind,
                                           absl::string_view record_key,
                                           const Record& record);

// For sums that do not depend on the order: two sets of entries with the same
// sum are the same, but for accidents of one in 2^128.
absl::uint128 OrderedEntryHash(absl::string_view key, absl::string_view value);
// That of what a tree of this kind holds of a record; 0 when that is nothing.
absl::uint128 OrderedRecordHash(OrderedKind kind, absl::string_view record_key,
                                const Record& record);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_ORDERED_ENTRY_H_
