// Makes the L2 record of a blob that a snapshot has, as it was.
#ifndef LARDER_CACHE_L2_STORED_RECORD_H_
#define LARDER_CACHE_L2_STORED_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/hlc.h"
#include "cache/l2/record.h"
#include "cache/snapshot.h"

namespace larder::cache::l2 {

// A record without a place for its chain: its header block, which may be empty,
// and then its frames.
struct NewRecord {
  std::string record_key;
  Record record;
  std::string header;
};

// Takes `stored` to be hostile. Its rank is its HLC.
// Errors: kInvalidArgument (impossible, or over a limit), kDataLoss (frames or
// checksums do not match), naming the blob.
absl::StatusOr<NewRecord> MakeStored(uint32_t ns_id,
                                     const StoredRecord& stored);

// Errors: kInvalidArgument: nothing that is put later could come after it.
absl::Status CheckHlc(Hlc hlc);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_STORED_RECORD_H_
