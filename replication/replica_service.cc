#include "replication/replica_service.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/message.h"
#include "cache/check.h"
#include "cache/status_macros.h"
#include "replication/heartbeat.h"
#include "replication/limits.h"

namespace larder::replication {

using backup::format::Chunk;
using backup::format::ChunkHeader;
using backup::format::DumpHeader;
using backup::format::kChunkHeaderBytes;
using cache::MutexLock;

struct ReplicaService::Claim {
  DumpHeader header;
  ResumeBinding binding;

  const std::string& id() const { return binding.snapshot_id; }
  bool Owns(const DumpOwner& owner) const {
    return owner.peer == binding.peer && owner.lineage == binding.lineage &&
           owner.header.stream_id() == binding.stream_id &&
           owner.header.snapshot_id() == binding.snapshot_id;
  }
};

// `holder`, `term` and `publishing` are the service's, under its mutex; the
// rest is of the call that holds it.
struct ReplicaService::Kept {
  explicit Kept(ResumeBinding b) : binding(std::move(b)) {}

  uint64_t received() const { return dump->check().bytes() + partial.size(); }

  const std::string& id() const { return binding.snapshot_id; }

  const ResumeBinding binding;  // Of who may hold it.
  ServerStream* holder = nullptr;
  uint64_t term = 0;        // Of the holder.
  bool publishing = false;  // The holder: it may take long, and does not end.

  DumpOwner owner;
  std::unique_ptr<IncomingDump> dump;  // Null: on disk at most.
  uint64_t durable = 0;
  std::string partial;  // Of the chunk after those in `dump`.
  std::optional<ChunkHeader> next_header;  // Its header, once it is there.
};

namespace {

// To a client whose transfer an older connection of it still publishes.
// Returns: whether it is still there.
bool TellPublishing(ServerStream* stream) {
  TransferReply reply;
  reply.mutable_progress();
  return stream->Write(reply);
}

// Whether a transfer that ends so can be gone on with.
bool Resumable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status);
}

Ack MakeAck(const PublishedDump& dump) {
  Ack ack;
  ack.set_snapshot_id(dump.header.snapshot_id());
  ack.set_stream_digest(dump.stream_digest);
  ack.set_stored_bytes(dump.stored_bytes);
  ack.set_packs(dump.packs);
  for (const backup::format::SourceInfo& source : dump.header.sources()) {
    if (source.kind() != backup::format::SOURCE_KIND_BLOB_CACHE) continue;
    ack.set_lineage(source.cache().lineage());
    ack.set_epoch(source.cache().epoch());
    ack.set_content_digest(source.cache().content_digest());
    break;
  }
  return ack;
}

}  // namespace

// One call that holds its transfer.
class ReplicaService::Session {
 public:
  Session(ReplicaService* service, const Claim& claim, uint64_t term,
          Kept* kept, ServerStream* stream)
      : service_(service),
        claim_(claim),
        term_(term),
        kept_(kept),
        stream_(stream) {}

  // Until Ack, an error, or the end of the stream.
  absl::Status Run(const Hello& hello) {
    LARDER_RETURN_IF_ERROR(service_->Open(claim_, hello, kept_));
    TransferReply reply;
    HelloReply* const welcome = reply.mutable_hello();
    welcome->set_term(service_->terms_->highest());
    welcome->set_replica_id(service_->options_.replica_id);
    if (hello.resume_token().empty()) {
      LARDER_ASSIGN_OR_RETURN(*welcome->mutable_base_header(),
                              service_->NewestHeader(hello.lineage()));
    }
    welcome->set_received_bytes(kept_->received());
    welcome->set_durable_bytes(kept_->durable);
    LARDER_ASSIGN_OR_RETURN(*welcome->mutable_resume_token(), IssueToken());
    welcome->set_resume_expires_unix_ms(kept_->owner.expires_unix_ms);
    welcome->set_window_bytes(kWindowBytesMax);
    welcome->set_piece_bytes_max(kPieceBytesMax);
    if (!stream_->Write(reply)) return Cut();
    TransferRequest request;
    while (stream_->Read(&request)) {
      LARDER_ASSIGN_OR_RETURN(const bool done, Handle(request));
      if (done) return absl::OkStatus();
    }
    return Cut();
  }

 private:
  // Why the stream ended before its Ack.
  absl::Status Cut() const {
    LARDER_RETURN_IF_ERROR(service_->terms_->Check(term_));
    return absl::AbortedError(
        "transfer: cut, or another connection took it over");
  }

  // Whether the dump lives long enough for another token.
  bool Fresh() const {
    return kept_->owner.expires_unix_ms - service_->clock_->NowUnixMillis() >=
           service_->options_.resume_ttl_ms / 2;
  }

  // A token lives as long as what it is for, half of the TTL at least: to make
  // that longer each time would cost a sync of the disk at each cut.
  absl::StatusOr<std::string> IssueToken() {
    if (!Fresh()) {
      const int64_t expires =
          service_->clock_->NowUnixMillis() + service_->options_.resume_ttl_ms;
      LARDER_RETURN_IF_ERROR(kept_->dump->SetExpiry(expires));
      kept_->owner.expires_unix_ms = expires;
    }
    return service_->tokens_.Issue(claim_.binding,
                                   kept_->owner.expires_unix_ms);
  }

  // Returns: whether the transfer is done.
  absl::StatusOr<bool> Handle(const TransferRequest& request) {
    switch (request.request_case()) {
      case TransferRequest::kPiece:
        LARDER_RETURN_IF_ERROR(TakePiece(request.piece()));
        return Report();
      case TransferRequest::kSync:
        LARDER_RETURN_IF_ERROR(kept_->dump->Sync());
        kept_->durable = kept_->dump->check().bytes();
        return Report();
      case TransferRequest::kFinish:
        LARDER_RETURN_IF_ERROR(Finish(request.finish()));
        return true;
      default:
        return absl::InvalidArgumentError(
            "transfer: neither piece, sync nor finish");
    }
  }

  absl::Status TakePiece(const Piece& piece) {
    absl::string_view data = piece.data();
    if (data.empty() || data.size() > kPieceBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "piece: ", data.size(), " bytes vs 1 to ", kPieceBytesMax));
    }
    if (piece.position() != kept_->received()) {
      return absl::InvalidArgumentError(
          absl::StrCat("piece: position ", piece.position(), " vs expected ",
                       kept_->received()));
    }
    while (!data.empty()) {
      const size_t wanted =
          kChunkHeaderBytes + (kept_->next_header.has_value()
                                   ? kept_->next_header->stored_bytes
                                   : 0);
      const size_t taken =
          std::min(wanted - kept_->partial.size(), data.size());
      kept_->partial.append(data.data(), taken);
      data.remove_prefix(taken);
      if (kept_->partial.size() == wanted) LARDER_RETURN_IF_ERROR(TakePart());
    }
    return absl::OkStatus();
  }

  // A header, or a whole chunk, is there.
  absl::Status TakePart() {
    if (!kept_->next_header.has_value()) {
      LARDER_ASSIGN_OR_RETURN(kept_->next_header,
                              backup::format::DecodeChunkHeader(
                                  kept_->partial, claim_.binding.stream_id));
      LARDER_RETURN_IF_ERROR(
          kept_->dump->check().CheckNext(*kept_->next_header));
      if (kept_->next_header->stored_bytes > 0) return absl::OkStatus();
    }
    Chunk chunk;
    chunk.header = *kept_->next_header;
    LARDER_RETURN_IF_ERROR(backup::format::CheckPayload(
        chunk.header,
        absl::string_view(kept_->partial).substr(kChunkHeaderBytes)));
    chunk.bytes.swap(kept_->partial);
    kept_->next_header.reset();
    return kept_->dump->Append(chunk);
  }

  absl::StatusOr<bool> Report() {
    TransferReply reply;
    Progress* const progress = reply.mutable_progress();
    progress->set_received_bytes(kept_->received());
    progress->set_durable_bytes(kept_->durable);
    if (!Fresh()) {
      LARDER_ASSIGN_OR_RETURN(*progress->mutable_resume_token(), IssueToken());
    }
    if (!stream_->Write(reply)) return Cut();
    return false;
  }

  absl::StatusOr<PublishedDump> Publish() {
    {
      MutexLock lock(&service_->mu_);
      kept_->publishing = true;
    }
    // Nothing else writes to the stream meanwhile.
    const Heartbeat alive(service_->options_.heartbeat_ms, [this] {
      TransferReply reply;
      reply.mutable_progress()->set_received_bytes(kept_->received());
      reply.mutable_progress()->set_durable_bytes(kept_->durable);
      stream_->Write(reply);
    });
    return kept_->dump->Publish([this](absl::FunctionRef<absl::Status()> step) {
      return service_->terms_->RunUnfenced(term_, step);
    });
  }

  absl::Status Finish(const replication::Finish& finish) {
    const backup::DumpCheck& check = kept_->dump->check();
    if (!check.complete() || !kept_->partial.empty() ||
        finish.bytes() != check.bytes() ||
        finish.stream_digest() != check.manifest().trailer().stream_digest()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "finish: ", finish.bytes(), " bytes vs ", kept_->received(),
          " that came", check.complete() ? "" : ", without a trailer",
          "; or another digest"));
    }
    LARDER_ASSIGN_OR_RETURN(const PublishedDump published, Publish());
    kept_->dump.reset();
    TransferReply reply;
    *reply.mutable_ack() = MakeAck(published);
    // Who does not hear it asks again, and finds it published.
    stream_->Write(reply);
    return absl::OkStatus();
  }

  ReplicaService* const service_;
  const Claim& claim_;
  const uint64_t term_;
  Kept* const kept_;
  ServerStream* const stream_;
};

ReplicaService::ReplicaService(std::unique_ptr<DumpReceiver> receiver,
                               std::unique_ptr<TermStore> terms,
                               ResumeTokens tokens, Options options)
    : options_(std::move(options)),
      clock_(options_.clock != nullptr ? options_.clock : cache::SystemClock()),
      receiver_(std::move(receiver)),
      terms_(std::move(terms)),
      tokens_(std::move(tokens)) {}

ReplicaService::~ReplicaService() {
  MutexLock lock(&mu_);
  LARDER_CHECK(streams_ == 0);
}

absl::StatusOr<ReplicaService::Claim> ReplicaService::CheckClaim(
    const std::string& peer, const std::string& lineage,
    const std::string& header_bytes) {
  if (lineage.size() > kLineageBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lineage: ", lineage.size(), " bytes exceed ", kLineageBytesMax));
  }
  if (header_bytes.size() > kHeaderBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header: ", header_bytes.size(), " bytes exceed ", kHeaderBytesMax));
  }
  Claim claim;
  LARDER_RETURN_IF_ERROR(
      backup::format::ParseMessage(header_bytes, &claim.header));
  LARDER_RETURN_IF_ERROR(backup::format::CheckDumpHeader(claim.header));
  claim.binding = {.peer = peer,
                   .lineage = lineage,
                   .snapshot_id = claim.header.snapshot_id(),
                   .stream_id = claim.header.stream_id()};
  return claim;
}

absl::StatusOr<std::string> ReplicaService::NewestHeader(
    absl::string_view lineage) {
  LARDER_ASSIGN_OR_RETURN(const std::optional<DumpHeader> base,
                          receiver_->Base(lineage, ""));
  if (!base.has_value()) return std::string();
  std::string bytes = backup::format::SerializeMessage(*base);
  // More than a message holds: no base, so the next dump is a full one.
  if (bytes.size() > kHeaderBytesMax) bytes.clear();
  return bytes;
}

absl::StatusOr<bool> ReplicaService::TellPublished(const Claim& claim,
                                                   ServerStream* stream) {
  LARDER_ASSIGN_OR_RETURN(const std::optional<PublishedDump> published,
                          receiver_->FindPublished(claim.header));
  if (!published.has_value()) return false;
  TransferReply reply;
  reply.mutable_hello()->set_term(terms_->highest());
  reply.mutable_hello()->set_replica_id(options_.replica_id);
  *reply.mutable_hello()->mutable_published() = MakeAck(*published);
  stream->Write(reply);
  return true;
}

absl::Status ReplicaService::Transfer(const std::string& peer,
                                      ServerStream* stream) {
  TransferRequest request;
  if (!stream->Read(&request)) return absl::AbortedError("transfer: no hello");
  if (!request.has_hello()) {
    return absl::InvalidArgumentError("transfer: begins without hello");
  }
  const Hello& hello = request.hello();
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("hello: protocol version ", hello.protocol_version(),
                     " vs ", kProtocolVersion, " known"));
  }
  LARDER_ASSIGN_OR_RETURN(const Claim claim,
                          CheckClaim(peer, hello.lineage(), hello.header()));
  LARDER_RETURN_IF_ERROR(terms_->Admit(hello.term()));
  LARDER_ASSIGN_OR_RETURN(bool is_published, TellPublished(claim, stream));
  if (is_published) return absl::OkStatus();
  if (!hello.resume_token().empty()) {
    LARDER_RETURN_IF_ERROR(tokens_.Verify(hello.resume_token(), claim.binding,
                                          clock_->NowUnixMillis()));
  }
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Kept> kept,
                          Take(claim, hello.term(), stream));
  const absl::Cleanup release = [&] { Release(kept.get()); };
  // Whoever had it until now may have published it meanwhile.
  LARDER_ASSIGN_OR_RETURN(is_published, TellPublished(claim, stream));
  if (is_published) return absl::OkStatus();
  absl::Status status =
      Session(this, claim, hello.term(), kept.get(), stream).Run(hello);
  if (!status.ok() && !Resumable(status) && kept->dump != nullptr) {
    kept->dump.reset();
    // What stays behind expires.
    receiver_->Discard(kept->id()).IgnoreError();
  }
  return status;
}

absl::StatusOr<std::shared_ptr<ReplicaService::Kept>> ReplicaService::Take(
    const Claim& claim, uint64_t term, ServerStream* stream) {
  MutexLock lock(&mu_);
  for (const auto& [id, kept] : kept_) {
    if (kept->holder != nullptr && kept->term < term) kept->holder->Cancel();
  }
  // At once: the client may have little patience left.
  auto next_beat = std::chrono::steady_clock::now();
  while (true) {
    const auto found = kept_.find(claim.id());
    if (found == kept_.end()) break;
    const std::shared_ptr<Kept> kept = found->second;
    if (kept->binding != claim.binding) {
      // Somebody without a right to it holds it only until that shows.
      const std::string what =
          absl::StrCat("snapshot ", claim.id(), ": another transfer of it is ",
                       kept->holder != nullptr ? "under way" : "kept");
      return kept->holder != nullptr ? absl::UnavailableError(what)
                                     : absl::AlreadyExistsError(what);
    }
    if (kept->holder == nullptr) break;
    kept->holder->Cancel();
    if (released_.wait_until(mu_, next_beat) != std::cv_status::timeout) {
      continue;
    }
    next_beat = std::chrono::steady_clock::now() +
                std::chrono::milliseconds(options_.heartbeat_ms);
    if (!kept->publishing) continue;
    mu_.unlock();
    const bool heard = TellPublishing(stream);
    mu_.lock();
    if (!heard) return absl::AbortedError("transfer: cut while it waited");
  }
  if (streams_ >= options_.streams_max) {
    return absl::UnavailableError(absl::StrCat(
        "busy: ", streams_, " streams vs ", options_.streams_max, " at most"));
  }
  std::shared_ptr<Kept>& kept = kept_[claim.id()];
  if (kept == nullptr) kept = std::make_shared<Kept>(claim.binding);
  kept->holder = stream;
  kept->term = term;
  ++streams_;
  return kept;
}

void ReplicaService::Release(Kept* kept) {
  MutexLock lock(&mu_);
  kept->holder = nullptr;
  kept->publishing = false;
  --streams_;
  if (kept->dump == nullptr) kept_.erase(kept->id());
  released_.notify_all();
}

absl::Status ReplicaService::Open(const Claim& claim, const Hello& hello,
                                  Kept* kept) {
  const bool resumes = !hello.resume_token().empty();
  if (resumes && kept->dump != nullptr) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(const std::vector<DumpOwner> owners,
                          receiver_->ListKept());
  const auto owner = std::find_if(
      owners.begin(), owners.end(), [&claim](const DumpOwner& candidate) {
        return candidate.header.snapshot_id() == claim.id();
      });
  // One without a peer is what a crash or damage left, and nobody's.
  if (owner != owners.end() && !owner->peer.empty() && !claim.Owns(*owner)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "snapshot ", claim.id(), ": another transfer of it is kept"));
  }
  kept->owner = {.peer = claim.binding.peer,
                 .lineage = claim.binding.lineage,
                 .header = claim.header};
  if (resumes) {
    if (owner == owners.end() || owner->peer.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "snapshot ", claim.id(), ": nothing is kept of its transfer"));
    }
    kept->owner.expires_unix_ms = owner->expires_unix_ms;
    LARDER_ASSIGN_OR_RETURN(kept->dump, receiver_->Resume(kept->owner));
    kept->durable = kept->dump->check().bytes();
    return absl::OkStatus();
  }
  kept->dump.reset();
  kept->durable = 0;
  kept->partial.clear();
  kept->next_header.reset();
  LARDER_RETURN_IF_ERROR(RemoveExpired());
  LARDER_RETURN_IF_ERROR(MakeRoom());
  kept->owner.expires_unix_ms =
      clock_->NowUnixMillis() + options_.resume_ttl_ms;
  LARDER_ASSIGN_OR_RETURN(kept->dump, receiver_->Begin(kept->owner));
  return absl::OkStatus();
}

absl::Status ReplicaService::DiscardIdle(const std::string& id) {
  // Held while it removes files, so that nobody takes it meanwhile.
  MutexLock lock(&mu_);
  const auto kept = kept_.find(id);
  if (kept != kept_.end()) {
    if (kept->second->holder != nullptr) return absl::OkStatus();
    kept_.erase(kept);
  }
  return receiver_->Discard(id);
}

absl::Status ReplicaService::RemoveExpired() {
  LARDER_ASSIGN_OR_RETURN(const std::vector<DumpOwner> owners,
                          receiver_->ListKept());
  const int64_t now = clock_->NowUnixMillis();
  for (const DumpOwner& owner : owners) {
    if (owner.expires_unix_ms > now) continue;
    LARDER_RETURN_IF_ERROR(DiscardIdle(owner.header.snapshot_id()));
  }
  return absl::OkStatus();
}

absl::Status ReplicaService::MakeRoom() {
  LARDER_ASSIGN_OR_RETURN(std::vector<DumpOwner> owners, receiver_->ListKept());
  int64_t excess = static_cast<int64_t>(owners.size()) + 1 - options_.kept_max;
  std::sort(owners.begin(), owners.end(), [](const auto& a, const auto& b) {
    return a.expires_unix_ms < b.expires_unix_ms;
  });
  for (const DumpOwner& owner : owners) {
    if (excess-- <= 0) break;
    LARDER_RETURN_IF_ERROR(DiscardIdle(owner.header.snapshot_id()));
  }
  return absl::OkStatus();
}

absl::Status ReplicaService::Base(const BaseRequest& request,
                                  BaseReply* reply) {
  LARDER_ASSIGN_OR_RETURN(
      const std::optional<DumpHeader> base,
      receiver_->Base(/*lineage=*/"", request.snapshot_id()));
  if (!base.has_value()) return absl::OkStatus();
  const std::string bytes = backup::format::SerializeMessage(*base);
  if (bytes.size() <= kHeaderBytesMax) reply->set_header(bytes);
  return absl::OkStatus();
}

absl::Status ReplicaService::Abort(const std::string& peer,
                                   const AbortRequest& request) {
  LARDER_ASSIGN_OR_RETURN(
      const Claim claim, CheckClaim(peer, request.lineage(), request.header()));
  LARDER_RETURN_IF_ERROR(tokens_.Verify(request.resume_token(), claim.binding,
                                        clock_->NowUnixMillis()));
  {
    MutexLock lock(&mu_);
    while (true) {
      const auto kept = kept_.find(claim.id());
      if (kept == kept_.end() || kept->second->holder == nullptr) break;
      kept->second->holder->Cancel();
      released_.wait(mu_);
    }
  }
  LARDER_ASSIGN_OR_RETURN(const std::vector<DumpOwner> owners,
                          receiver_->ListKept());
  for (const DumpOwner& owner : owners) {
    if (claim.Owns(owner)) return DiscardIdle(claim.id());
  }
  return absl::OkStatus();
}

absl::Status ReplicaService::GetStatus(StatusReply* reply) {
  reply->set_term(terms_->highest());
  LARDER_ASSIGN_OR_RETURN(*reply->mutable_base_header(),
                          NewestHeader(/*lineage=*/""));
  LARDER_ASSIGN_OR_RETURN(const std::vector<DumpOwner> owners,
                          receiver_->ListKept());
  reply->set_transfers_kept(owners.size());
  MutexLock lock(&mu_);
  reply->set_transfers(static_cast<uint64_t>(streams_));
  return absl::OkStatus();
}

}  // namespace larder::replication
