// What a client takes from a replica that answers a Get (replication.proto).
#ifndef LARDER_REPLICATION_GET_REPLY_CHECK_H_
#define LARDER_REPLICATION_GET_REPLY_CHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// The pieces of one blob, one after another: a replica that says anything costs
// a client no more than the largest blob. Single-owner.
class GetReplyCheck {
 public:
  // Errors: kDataLoss: no piece of a blob, or one that exceeds a limit of the
  // protocol or of the cache.
  absl::Status Add(const GetReply& piece);
  // The call has ended with OK. Errors: kDataLoss: there was no piece.
  absl::Status Finish() const;

  int64_t bytes() const { return bytes_; }

 private:
  int64_t pieces_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_GET_REPLY_CHECK_H_
