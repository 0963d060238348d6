#include "replication/grpc_connector.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"
#include "replication/get_reply_check.h"
#include "replication/grpc_quiet.h"
#include "replication/limits.h"
#include "replication/piece_head.h"
#include "replication/replication.grpc.pb.h"

namespace larder::replication {
namespace {

// Replication::Transfer, as the generated stub calls it.
constexpr char kTransferMethod[] = "/larder.replication.Replication/Transfer";
constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// One that does not even answer is tried again, or given up, as soon as one
// that refuses: ReplicaSink::Options::give_up_at_first_ms.
constexpr int kConnectMillisMax = 2'000;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(
    const TlsCredentials& tls) {
  if (tls.certificate.empty() && tls.key.empty() && tls.ca.empty()) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = tls.ca;
  ssl.pem_private_key = tls.key;
  ssl.pem_cert_chain = tls.certificate;
  return grpc::SslCredentials(ssl);
}

// A connection of its own for each call: a channel that has failed makes those
// after it wait as it sees fit, for seconds, while ReplicaSink has its own mind
// about when to try again.
std::shared_ptr<grpc::Channel> Connect(const GrpcConnector::Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMillisMax);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(options.replica.Text(),
                                   MakeCredentials(options.tls), arguments);
}

void Prepare(const GrpcConnector::Options& options, int64_t ms_max,
             grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(ms_max));
  if (!options.token.empty()) {
    context->AddMetadata("authorization",
                         absl::StrCat("Bearer ", options.token));
  }
}

// What a stub does for Transfer, but for requests that need no copies.
class GrpcCall : public TransferCall {
 public:
  using Stream = grpc::ClientReaderWriter<grpc::ByteBuffer, TransferReply>;

  explicit GrpcCall(const GrpcConnector::Options& options)
      : channel_(Connect(options)) {
    Prepare(options, options.transfer_ms_max, &context_);
    const grpc::internal::RpcMethod method(
        kTransferMethod, grpc::internal::RpcMethod::BIDI_STREAMING, channel_);
    stream_.reset(grpc::internal::ClientReaderWriterFactory<
                  grpc::ByteBuffer, TransferReply>::Create(channel_.get(),
                                                           method, &context_));
  }

  bool Write(const TransferRequest& request) override {
    grpc::ByteBuffer bytes;
    bool own_buffer = false;
    return grpc::SerializationTraits<TransferRequest>::Serialize(
               request, &bytes, &own_buffer)
               .ok() &&
           stream_->Write(bytes);
  }
  // gRPC refers to the data, and keeps their owner, until it has sent them, or
  // until the call has ended.
  bool WritePiece(uint64_t position, absl::string_view data,
                  std::shared_ptr<const void> owner) override {
    const grpc::Slice slices[] = {
        grpc::Slice(EncodePieceHead(position, data.size())),
        grpc::Slice(
            const_cast<char*>(data.data()), data.size(),
            [](void* kept) {
              delete static_cast<std::shared_ptr<const void>*>(kept);
            },
            new std::shared_ptr<const void>(std::move(owner)))};
    return stream_->Write(grpc::ByteBuffer(slices, std::size(slices)));
  }
  bool Read(TransferReply* reply) override { return stream_->Read(reply); }
  void Cancel() override { context_.TryCancel(); }
  absl::Status Close() override { return FromGrpc(stream_->Finish()); }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
};

class GrpcConnectorImpl : public ReplicaConnector {
 public:
  explicit GrpcConnectorImpl(const GrpcConnector::Options& options)
      : options_(options) {}

  std::unique_ptr<TransferCall> StartTransfer() override {
    return std::make_unique<GrpcCall>(options_);
  }
  absl::StatusOr<BaseReply> Base(const BaseRequest& request) override {
    BaseReply reply;
    LARDER_RETURN_IF_ERROR(Call(&Replication::Stub::Base, request, &reply));
    return reply;
  }
  absl::Status Abort(const AbortRequest& request) override {
    AbortReply reply;
    return Call(&Replication::Stub::Abort, request, &reply);
  }
  absl::StatusOr<StatusReply> GetStatus() override {
    StatusReply reply;
    LARDER_RETURN_IF_ERROR(
        Call(&Replication::Stub::Status, StatusRequest(), &reply));
    return reply;
  }

 private:
  template <typename Request, typename Reply>
  absl::Status Call(grpc::Status (Replication::Stub::*method)(
                        grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) const {
    grpc::ClientContext context;
    Prepare(options_, options_.call_ms_max, &context);
    return FromGrpc((Replication::NewStub(Connect(options_)).get()->*method)(
        &context, request, reply));
  }

  const GrpcConnector::Options options_;
};

}  // namespace

namespace {

absl::Status CheckOptions(const GrpcConnector::Options& options) {
  const bool has_tls = !options.tls.ca.empty() || !options.tls.key.empty() ||
                       !options.tls.certificate.empty();
  return CheckConnect(options.replica, has_tls, options.insecure);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicaConnector>> GrpcConnector::Create(
    const Options& options) {
  LARDER_RETURN_IF_ERROR(CheckOptions(options));
  QuietGrpc();
  return std::make_unique<GrpcConnectorImpl>(options);
}

absl::Status GrpcConnector::Get(
    const Options& options, absl::string_view ns, absl::string_view key,
    absl::FunctionRef<absl::Status(const GetReply& piece)> take) {
  LARDER_RETURN_IF_ERROR(CheckOptions(options));
  QuietGrpc();
  const std::unique_ptr<Replication::Stub> stub =
      Replication::NewStub(Connect(options));
  grpc::ClientContext context;
  Prepare(options, options.transfer_ms_max, &context);
  GetRequest request;
  request.set_namespace_(ns.data(), ns.size());
  request.set_key(key.data(), key.size());
  const auto reader = stub->Get(&context, request);
  GetReply piece;
  GetReplyCheck check;
  absl::Status taken;
  while (taken.ok() && reader->Read(&piece)) {
    taken = check.Add(piece);
    if (taken.ok()) taken = take(piece);
  }
  if (!taken.ok()) context.TryCancel();
  const absl::Status ended = FromGrpc(reader->Finish());
  LARDER_RETURN_IF_ERROR(taken);
  LARDER_RETURN_IF_ERROR(ended);
  return check.Finish();
}

}  // namespace larder::replication
