#include "replication/replica_sink.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/message.h"
#include "backup/sealed_lineages.h"
#include "cache/status_macros.h"
#include "replication/limits.h"
#include "replication/spool.h"
#include "replication/transfer_link.h"

namespace larder::replication {
namespace {

using backup::SinkReceipt;
using backup::format::Chunk;
using backup::format::DumpHeader;
using backup::format::Manifest;
using State = TransferLink::State;

// Where a wait looks up for cancellation.
constexpr int64_t kSliceMillis = 20;
constexpr uint64_t kSmallPieceBytes = 16 << 10;
// What a replica that is still there has to answer the last attempt, unless
// all of the patience is less. Source:
// with `give_up_ms` it stays below the 60 s after which the orchestrator drops
// a sink that does not return (sink_stall_ms_max).
constexpr int64_t kAnswerMillisMin = 5'000;

// How often a dump is begun anew because the replica kept nothing of it: what
// the replica cannot do may look like a cut, each time after all was sent.
constexpr int kBeginningsAnewMax = 8;

// Whether another connection may help. kInternal and kUnknown are what gRPC
// calls some cuts; when they are more, the next hello says so.
bool Retryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

class ReplicaSinkImpl : public ReplicaSink {
 public:
  ReplicaSinkImpl(std::unique_ptr<ReplicaConnector> connector, Options options)
      : options_(std::move(options)),
        clock_(options_.clock != nullptr ? options_.clock
                                         : cache::SystemClock()),
        connector_(std::move(connector)),
        random_(options_.random_seed != 0 ? options_.random_seed
                                          : std::random_device()()) {}
  ~ReplicaSinkImpl() override {
    Abort();
    if (options_.claimed != nullptr) options_.claimed->Release(this);
  }

  const std::string& name() const override { return options_.name; }
  bool starts_lasting_threads() const override { return true; }  // gRPC's.
  absl::Status Begin(const DumpHeader& header) override;
  absl::StatusOr<std::vector<DumpHeader>> Bases(absl::string_view id) override;
  backup::SealedLineages Sealed() const override;
  absl::Status Append(const std::shared_ptr<const Chunk>& chunk) override;
  absl::StatusOr<SinkReceipt> Finish(const Manifest& manifest) override;
  void Abort() override;
  TransferCounts counts() const override { return counts_; }
  int64_t progress() const override {
    return replies_.load(std::memory_order_relaxed);
  }

 private:
  void Reset();
  bool Stopped() const {
    return options_.cancellation != nullptr &&
           options_.cancellation->cancelled();
  }
  void Wait(int64_t ms) const;
  int64_t BackoffMillis();

  // Sees to it that there is a connection, within `give_up_ms`, and that
  // `sent_` is where it goes on.
  absl::Status EnsureLink(int64_t give_up_ms);
  absl::Status Connect(int64_t silence_ms_max);
  // Takes over what the replica said.
  absl::Status Observe(const State& state);
  State Await(absl::FunctionRef<bool(const State&)> ready,
              int64_t silence_ms_max);
  // Of the connection that is over, or that a write failed on.
  absl::Status EndLink();

  uint64_t WindowBytes(const State& state) const {
    const uint64_t moved = state.received - received_at_first_;
    return std::min({window_at_first_ + moved / kWindowGrowth, kWindowBytesMax,
                     state.window_bytes});
  }
  // Sends all of the spool, over as many connections as it takes.
  absl::Status SendAll();
  // Sends a piece, once the window has room; nothing when the link is over.
  absl::Status SendPiece();
  absl::Status RequestSync();
  // Waits until the first chunk has left the spool.
  absl::Status ReleaseOne();
  absl::Status CheckAck(const Manifest& manifest) const;

  const Options options_;
  cache::Clock* const clock_;
  const std::unique_ptr<ReplicaConnector> connector_;
  std::mt19937_64 random_;
  TransferCounts counts_;
  std::atomic<int64_t> replies_{0};  // Of the replica, over all connections.

  // Of the dump.
  std::string header_;
  std::string snapshot_id_;
  std::string base_header_;  // Of what the replica has; may be empty.
  std::string resume_token_;
  Spool spool_;
  uint64_t sent_ = 0;            // On this connection, or known to be there.
  uint64_t sync_requested_ = 0;  // Durable once the replica has answered.
  uint64_t received_ = 0;        // The most the replica has said.
  uint64_t durable_ = 0;         // The same.
  std::optional<Ack> ack_;
  // Connections since the replica last got further, and since when it was
  // waited for.
  int64_t attempts_ = 0;
  int64_t waiting_since_nanos_ = 0;
  std::optional<int64_t> finish_since_nanos_;  // Of Finish().
  int beginnings_anew_ = 0;
  absl::Status last_error_;

  std::unique_ptr<TransferLink> link_;
  uint64_t window_at_first_ = 0;  // Of `link_`, as the next one.
  uint64_t received_at_first_ = 0;
};

void ReplicaSinkImpl::Reset() {
  link_.reset();
  header_.clear();
  snapshot_id_.clear();
  base_header_.clear();
  resume_token_.clear();
  spool_ = Spool();
  sent_ = sync_requested_ = received_ = durable_ = 0;
  ack_.reset();
  attempts_ = 0;
  finish_since_nanos_.reset();
  beginnings_anew_ = 0;
  last_error_ = absl::OkStatus();
}

void ReplicaSinkImpl::Wait(int64_t ms) const {
  if (options_.wait != nullptr) return options_.wait(ms);
  for (; ms > 0 && !Stopped(); ms -= kSliceMillis) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(std::min(ms, kSliceMillis)));
  }
}

int64_t ReplicaSinkImpl::BackoffMillis() {
  int64_t ms = options_.backoff_ms_min;
  for (int64_t i = 1; i < attempts_ && ms < options_.backoff_ms_max; ++i) {
    ms *= 2;
  }
  ms = std::min(ms, options_.backoff_ms_max);
  return std::uniform_int_distribution<int64_t>(ms - ms / 4,
                                                ms + ms / 4)(random_);
}

State ReplicaSinkImpl::Await(absl::FunctionRef<bool(const State&)> ready,
                             int64_t silence_ms_max) {
  return link_->Await(
      ready, [this] { return Stopped(); }, silence_ms_max);
}

absl::Status ReplicaSinkImpl::EndLink() {
  absl::Status status = link_->End();
  if (status.ok()) {
    status = absl::UnavailableError("connection: ended without an ack");
  }
  // What came last counts, too.
  if (const absl::Status last = Observe(link_->state()); !last.ok()) {
    status = last;
  }
  link_.reset();
  last_error_ = status;
  return status;
}

absl::Status ReplicaSinkImpl::Observe(const State& state) {
  if (!state.resume_token.empty()) resume_token_ = state.resume_token;
  if (!state.base_header.empty()) base_header_ = state.base_header;
  if (state.ack.has_value()) {
    ack_ = state.ack;
    return absl::OkStatus();
  }
  if (state.durable > state.received || state.received > sent_) {
    return absl::DataLossError(absl::StrCat("replica: says ", state.received,
                                            " bytes received, ", state.durable,
                                            " durable, of ", sent_, " sent"));
  }
  if (state.received > received_ || state.durable > durable_) {
    received_ = std::max(received_, state.received);
    durable_ = std::max(durable_, state.durable);
    attempts_ = 0;
    // When it came: a write may have kept this thread since.
    waiting_since_nanos_ = std::max(waiting_since_nanos_, state.heard_nanos);
  }
  if (finish_since_nanos_.has_value()) {
    const int64_t at_work_until =
        *finish_since_nanos_ + options_.at_work_ms_max * 1'000'000;
    waiting_since_nanos_ = std::max(
        waiting_since_nanos_, std::min(state.at_work_nanos, at_work_until));
  }
  spool_.ReleaseThrough(state.durable);
  return absl::OkStatus();
}

absl::Status ReplicaSinkImpl::Connect(int64_t silence_ms_max) {
  ++counts_.connections;
  const std::string before(last_error_.message());
  link_ = std::make_unique<TransferLink>(connector_->StartTransfer(), clock_,
                                         &replies_);
  TransferRequest request;
  Hello* const hello = request.mutable_hello();
  hello->set_protocol_version(kProtocolVersion);
  hello->set_lineage(options_.lineage);
  hello->set_term(options_.term);
  hello->set_header(header_);
  hello->set_resume_token(resume_token_);
  window_at_first_ =
      resume_token_.empty() ? kWindowBytesFirst : kWindowBytesResumed;
  if (!link_->Write(request)) return EndLink();
  const State state =
      Await([](const State& s) { return s.welcome; }, silence_ms_max);
  if (!state.welcome) {
    const absl::Status status = EndLink();
    if (resume_token_.empty() ||
        (!absl::IsNotFound(status) && !absl::IsUnauthenticated(status))) {
      return status;
    }
    resume_token_.clear();
    // All is here still: it can begin anew.
    if (spool_.begin() == 0 && beginnings_anew_++ < kBeginningsAnewMax) {
      received_ = durable_ = 0;
      return absl::UnavailableError(status.message());
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "replica: keeps nothing of the transfer: ", status.message(),
        "; before that: ", before));
  }
  // Before its token is taken over: the transfer is the other sink's, which has
  // sent nothing yet and begins it anew.
  if (options_.claimed != nullptr && !state.replica_id.empty() &&
      !options_.claimed->Claim(this, state.replica_id)) {
    return absl::InvalidArgumentError(
        "replica: another address of this backup leads to the same one: two "
        "copies there are one");
  }
  if (state.ack.has_value()) return Observe(state);
  if (state.received < spool_.begin() || state.received > spool_.end() ||
      state.window_bytes == 0 || state.piece_bytes_max == 0) {
    return absl::DataLossError(absl::StrCat(
        "replica: has ", state.received, " bytes, window ", state.window_bytes,
        ", piece ", state.piece_bytes_max, "; acknowledged were ",
        spool_.begin(), " of ", spool_.end()));
  }
  sent_ = received_at_first_ = state.received;
  sync_requested_ = state.durable;
  return Observe(state);
}

absl::Status ReplicaSinkImpl::EnsureLink(int64_t give_up_ms) {
  if (ack_.has_value()) return absl::OkStatus();
  if (link_ != nullptr) {
    if (!link_->state().over) return absl::OkStatus();
    const absl::Status ended = EndLink();
    if (ack_.has_value()) return absl::OkStatus();
    if (!Retryable(ended)) return ended;
  }
  while (true) {
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    const int64_t waited_ms =
        (clock_->NowSteadyNanos() - waiting_since_nanos_) / 1'000'000;
    if (attempts_ > 0) {
      if (waited_ms >= give_up_ms) {
        return absl::UnavailableError(
            absl::StrCat("no progress for ", waited_ms, " ms, at byte ",
                         received_, ": ", last_error_.message()));
      }
      Wait(BackoffMillis());
    }
    ++attempts_;
    // An attempt that nobody answers must not outlast the patience by much.
    const absl::Status status =
        Connect(std::min(options_.silence_ms_max,
                         std::max(give_up_ms - waited_ms, kAnswerMillisMin)));
    if (status.ok()) return absl::OkStatus();
    last_error_ = status;
    link_.reset();
    if (!Retryable(status)) return status;
  }
}

absl::Status ReplicaSinkImpl::SendPiece() {
  const State state = Await(
      [this](const State& s) {
        return sent_ - std::min(sent_, s.received) < WindowBytes(s);
      },
      options_.silence_ms_max);
  LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
  LARDER_RETURN_IF_ERROR(Observe(state));
  if (state.over) return absl::OkStatus();
  const uint64_t window = WindowBytes(state);
  const uint64_t piece_max =
      std::min({std::max(window / 4, kSmallPieceBytes), state.piece_bytes_max,
                uint64_t{kPieceBytesMax}});
  Spool::Range piece =
      spool_.At(sent_, std::min(piece_max, window - (sent_ - state.received)));
  const size_t size = piece.bytes.size();
  counts_.bytes_sent += static_cast<int64_t>(size);
  if (link_->WritePiece(sent_, piece.bytes, std::move(piece.chunk))) {
    sent_ += size;
    return absl::OkStatus();
  }
  const absl::Status status = EndLink();
  return Retryable(status) ? absl::OkStatus() : status;
}

absl::Status ReplicaSinkImpl::SendAll() {
  while (true) {
    LARDER_RETURN_IF_ERROR(EnsureLink(options_.give_up_ms));
    if (ack_.has_value() || sent_ == spool_.end()) return absl::OkStatus();
    LARDER_RETURN_IF_ERROR(SendPiece());
    // In time, so that the spool seldom fills; also of what is sent again, so
    // that a replica that dies often gets on a little each time.
    if (link_ != nullptr &&
        sent_ - sync_requested_ >=
            static_cast<uint64_t>(options_.spool_bytes_max) / 4) {
      LARDER_RETURN_IF_ERROR(RequestSync());
    }
  }
}

absl::Status ReplicaSinkImpl::RequestSync() {
  TransferRequest request;
  request.mutable_sync();
  // A failure shows at the next look at the link.
  if (link_->Write(request)) sync_requested_ = sent_;
  return absl::OkStatus();
}

absl::Status ReplicaSinkImpl::ReleaseOne() {
  const uint64_t first_end = spool_.first_end();
  while (spool_.bytes() > 0 && spool_.begin() < first_end) {
    LARDER_RETURN_IF_ERROR(SendAll());
    if (ack_.has_value()) return absl::OkStatus();
    if (sync_requested_ < first_end) LARDER_RETURN_IF_ERROR(RequestSync());
    const State state =
        Await([first_end](const State& s) { return s.durable >= first_end; },
              options_.silence_ms_max);
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    LARDER_RETURN_IF_ERROR(Observe(state));
  }
  return absl::OkStatus();
}

absl::Status ReplicaSinkImpl::Begin(const DumpHeader& header) {
  Reset();
  header_ = backup::format::SerializeMessage(header);
  snapshot_id_ = header.snapshot_id();
  // It may be another one by now.
  if (options_.claimed != nullptr) options_.claimed->Release(this);
  waiting_since_nanos_ = clock_->NowSteadyNanos();
  return EnsureLink(options_.give_up_at_first_ms);
}

// The replica said it when it was greeted, of the lineage in the hello.
absl::StatusOr<std::vector<DumpHeader>> ReplicaSinkImpl::Bases(
    absl::string_view id) {
  std::string header = base_header_;
  if (!id.empty()) {
    BaseRequest request;
    request.set_snapshot_id(std::string(id));
    LARDER_ASSIGN_OR_RETURN(const BaseReply reply, connector_->Base(request));
    header = reply.header();
  }
  if (!header.empty()) {
    DumpHeader base;
    LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(header, &base));
    LARDER_RETURN_IF_ERROR(backup::format::CheckDumpHeader(base));
    return std::vector<DumpHeader>{std::move(base)};
  }
  if (id.empty()) return std::vector<DumpHeader>();
  return absl::NotFoundError(absl::StrCat(options_.name, ": snapshot ", id,
                                          ": not there, or not to build on"));
}

// It tells no more than what a delta can build on.
backup::SealedLineages ReplicaSinkImpl::Sealed() const {
  backup::SealedLineages sealed;
  DumpHeader base;
  if (!base_header_.empty() &&
      backup::format::ParseMessage(base_header_, &base).ok()) {
    sealed.Add(base);
  }
  return sealed;
}

absl::Status ReplicaSinkImpl::Append(
    const std::shared_ptr<const Chunk>& chunk) {
  waiting_since_nanos_ = clock_->NowSteadyNanos();
  const int64_t size = static_cast<int64_t>(chunk->bytes.size());
  while (spool_.bytes() > 0 &&
         spool_.bytes() + size > options_.spool_bytes_max) {
    LARDER_RETURN_IF_ERROR(ReleaseOne());
  }
  spool_.Add(chunk);
  counts_.spool_bytes_peak = std::max(counts_.spool_bytes_peak, spool_.bytes());
  return SendAll();
}

absl::Status ReplicaSinkImpl::CheckAck(const Manifest& manifest) const {
  if (ack_->snapshot_id() == snapshot_id_ &&
      ack_->stream_digest() == manifest.trailer().stream_digest()) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat("replica: acknowledged another dump than ", snapshot_id_));
}

absl::StatusOr<SinkReceipt> ReplicaSinkImpl::Finish(const Manifest& manifest) {
  waiting_since_nanos_ = clock_->NowSteadyNanos();
  finish_since_nanos_ = waiting_since_nanos_;
  TransferRequest request;
  request.mutable_finish()->set_bytes(spool_.end());
  request.mutable_finish()->set_stream_digest(
      manifest.trailer().stream_digest());
  while (!ack_.has_value()) {
    LARDER_RETURN_IF_ERROR(SendAll());
    if (ack_.has_value()) break;
    link_->Write(request);
    // It syncs, and publishes: silence is no sign of a cut here.
    const State state = Await([](const State& s) { return s.ack.has_value(); },
                              options_.give_up_ms);
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    LARDER_RETURN_IF_ERROR(Observe(state));
  }
  LARDER_RETURN_IF_ERROR(CheckAck(manifest));
  const SinkReceipt receipt{
      .bytes_written = static_cast<int64_t>(ack_->stored_bytes()),
      .packs = static_cast<int64_t>(ack_->packs())};
  Reset();
  return receipt;
}

void ReplicaSinkImpl::Abort() {
  link_.reset();
  if (!resume_token_.empty()) {
    AbortRequest request;
    request.set_lineage(options_.lineage);
    request.set_header(header_);
    request.set_resume_token(resume_token_);
    // What it does not hear of expires.
    connector_->Abort(request).IgnoreError();
  }
  Reset();
}

}  // namespace

std::unique_ptr<ReplicaSink> ReplicaSink::Create(
    std::unique_ptr<ReplicaConnector> connector, Options options) {
  return std::make_unique<ReplicaSinkImpl>(std::move(connector),
                                           std::move(options));
}

}  // namespace larder::replication
