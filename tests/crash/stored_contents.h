// What a snapshot holds, read in full, and what follows from it.
#ifndef LARDER_TESTS_CRASH_STORED_CONTENTS_H_
#define LARDER_TESTS_CRASH_STORED_CONTENTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/hlc.h"
#include "cache/policy.h"
#include "cache/snapshot.h"
#include "tests/support/history.h"

namespace larder::tests {

// One blob as L2 stores it. A plain value.
struct StoredBlob {
  cache::Hlc hlc;
  cache::Expiry expiry;
  uint64_t version = 0;
  uint8_t priority = 0;
  uint64_t raw_bytes = 0;
  uint64_t payload_checksum = 0;
  std::string frames;  // As stored, one behind the other.
  friend bool operator==(const StoredBlob&, const StoredBlob&) = default;
};
// By namespace and key.
using StoredContents =
    std::map<std::pair<std::string, std::string>, StoredBlob>;

// Reads every record and frame. Errors: what the snapshot says; kDataLoss for
// damage, which is in none of these tests.
absl::StatusOr<StoredContents> ReadStored(const cache::Snapshot& snapshot);

// What who holds `base`, which was read from a snapshot of `info`, holds when
// the delta since then is applied. Errors: as above; kDataLoss also when the
// delta counts on a record that the base lacks.
absl::StatusOr<StoredContents> ApplyDelta(const cache::Snapshot& snapshot,
                                          const cache::SnapshotInfo& info,
                                          StoredContents base);

// The content digest that an L2 must have which holds just `contents`, worked
// out as docs/formats/l2.md, "superblock", says. Of `stored` it takes only what
// no put tells: its frames, and the payload checksums of header blocks. Blobs
// must not have a `ttl_ms`.
// Errors: kDataLoss naming a blob that one has and the other has not, or has
// otherwise.
absl::StatusOr<absl::uint128> DigestOf(const Contents& contents,
                                       size_t content_bytes_max,
                                       const StoredContents& stored);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_STORED_CONTENTS_H_
