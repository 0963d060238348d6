#include "cache/l2/ordered_entry.h"

#include <cstdint>

#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/policy.h"

namespace larder::cache::l2 {

std::optional<OrderedEntry> OrderedEntryOf(OrderedKind kind,
                                           absl::string_view record_key,
                                           const Record& record) {
  if (kind == OrderedKind::kAge) {
    return OrderedEntry{OrderedKey(record.rank, record_key),
                        EncodeAgeEntry(record)};
  }
  const int64_t due =
      DueAtUnixMillis(record.expiry, record.last_access_unix_ms);
  if (due == 0) return std::nullopt;
  return OrderedEntry{OrderedKey(static_cast<uint64_t>(due), record_key),
                      EncodeDueEntry(DueEntryOf(record))};
}

absl::uint128 OrderedEntryHash(absl::string_view key, absl::string_view value) {
  // Kept: it is needed for each entry of a tree.
  thread_local std::string bytes;
  bytes.clear();
  AppendBytes(&bytes, key);
  bytes.append(value.data(), value.size());
  return Hash128(bytes);
}

absl::uint128 OrderedRecordHash(OrderedKind kind, absl::string_view record_key,
                                const Record& record) {
  const auto entry = OrderedEntryOf(kind, record_key, record);
  return entry.has_value() ? OrderedEntryHash(entry->key, entry->value) : 0;
}

}  // namespace larder::cache::l2
