// Where blobs, and the key ranges of a delta, stand in the order of names.
#ifndef LARDER_BACKUP_INTERNAL_BLOB_PLACE_H_
#define LARDER_BACKUP_INTERNAL_BLOB_PLACE_H_

#include <compare>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"

namespace larder::backup_internal {

// The first of all places unless set. A plain value.
struct BlobPlace {
  std::string ns;
  std::string key;
  friend auto operator<=>(const BlobPlace&, const BlobPlace&) = default;
};

// Behind every key of the namespace: no namespace holds a NUL.
inline BlobPlace EndOf(absl::string_view ns) {
  return {absl::StrCat(ns, absl::string_view("\0", 1)), ""};
}

inline BlobPlace StartOf(const backup::format::KeyRange& range) {
  return {range.ns(), range.from()};
}
inline BlobPlace EndOf(const backup::format::KeyRange& range) {
  return range.until().empty() ? EndOf(range.ns())
                               : BlobPlace{range.ns(), range.until()};
}

// Whether the range has any room, and starts at `place` or behind it.
inline bool ComesBehind(const BlobPlace& place,
                        const backup::format::KeyRange& range) {
  return StartOf(range) >= place && StartOf(range) < EndOf(range);
}

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_BLOB_PLACE_H_
