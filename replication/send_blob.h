// How a live replica answers a Get (replication.proto).
#ifndef LARDER_REPLICATION_SEND_BLOB_H_
#define LARDER_REPLICATION_SEND_BLOB_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "replication/blob_reader.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// Gives `write` the pieces of the blob, all from one view, in order, at least
// one; `write` says false when the call is over. Memory: a MiB.
// Errors: as the call; kCancelled; kDataLoss: damage hides it.
absl::Status SendBlob(const BlobReader& reader, const GetRequest& request,
                      absl::FunctionRef<bool(const GetReply&)> write);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_SEND_BLOB_H_
