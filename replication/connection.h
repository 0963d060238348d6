// A client's way to a replica, without saying how.
#ifndef LARDER_REPLICATION_CONNECTION_H_
#define LARDER_REPLICATION_CONNECTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// The client's end of a Transfer call.
class TransferCall {
 public:
  virtual ~TransferCall() = default;  // Requires: Close() was called.
  // Each blocks; one thread may write while another reads. False: the call is
  // over, cut or cancelled.
  virtual bool Write(const TransferRequest& request) = 0;
  // As Write() of a Piece. `data` lies in what `owner` keeps alive, so that it
  // need not be copied.
  virtual bool WritePiece(uint64_t position, absl::string_view data,
                          std::shared_ptr<const void> owner) = 0;
  virtual bool Read(TransferReply* reply) = 0;
  // Makes both return false soon. From any thread.
  virtual void Cancel() = 0;
  // How the call ended. Requires: Read() has returned false, and no other call
  // is running.
  virtual absl::Status Close() = 0;
};

// Thread-safe. Calls have deadlines of their own: none blocks for ever.
class ReplicaConnector {
 public:
  virtual ~ReplicaConnector() = default;
  virtual std::unique_ptr<TransferCall> StartTransfer() = 0;
  virtual absl::StatusOr<BaseReply> Base(const BaseRequest& request) = 0;
  virtual absl::Status Abort(const AbortRequest& request) = 0;
  virtual absl::StatusOr<StatusReply> GetStatus() = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_CONNECTION_H_
