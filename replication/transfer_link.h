// One connection of a transfer, seen from the client, with what came back.
#ifndef LARDER_REPLICATION_TRANSFER_LINK_H_
#define LARDER_REPLICATION_TRANSFER_LINK_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/clock.h"
#include "cache/mutex.h"
#include "replication/connection.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// Single-owner; a thread of its own reads.
class TransferLink {
 public:
  // What the replica has said so far.
  struct State {
    bool welcome = false;
    uint64_t received = 0;
    uint64_t durable = 0;
    uint64_t window_bytes = 0;
    uint64_t piece_bytes_max = 0;
    std::string base_header;
    std::string resume_token;
    std::string replica_id;
    std::optional<Ack> ack;
    int64_t heard_nanos = 0;  // When the last reply came, by the clock.
    // When the last one came that only says that the replica is at work.
    int64_t at_work_nanos = 0;
    bool over = false;  // Nothing more comes.
  };

  // Counts replies in `*replies`. Borrows both.
  TransferLink(std::unique_ptr<TransferCall> call, cache::Clock* clock,
               std::atomic<int64_t>* replies);
  ~TransferLink();  // Cancels what is not over.
  TransferLink(const TransferLink&) = delete;
  TransferLink& operator=(const TransferLink&) = delete;

  // False: the link is over; End() tells why.
  bool Write(const TransferRequest& request);
  // As TransferCall.
  bool WritePiece(uint64_t position, absl::string_view data,
                  std::shared_ptr<const void> owner);

  State state() const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until `ready(state)`, or the link is over, or `stop()`, which is
  // asked now and then, or nothing came for `silence_ms_max` of this call; that
  // counts as a cut. Returns the state.
  State Await(absl::FunctionRef<bool(const State&)> ready,
              absl::FunctionRef<bool()> stop, int64_t silence_ms_max)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the link, if it is not over. Returns: how it ended; kUnavailable when
  // it was this side that ended it.
  absl::Status End();

 private:
  void ReadAll();
  void Book(const TransferReply& reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::unique_ptr<TransferCall> call_;
  cache::Clock* const clock_;
  std::atomic<int64_t>* const replies_;
  bool ended_ = false;
  bool silent_ = false;
  bool write_failed_ = false;
  mutable cache::Mutex mu_;
  std::condition_variable_any changed_;
  State state_ ABSL_GUARDED_BY(mu_);
  std::thread reader_;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_TRANSFER_LINK_H_
