#include "replication/grpc_connector.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"
#include "replication/grpc_quiet.h"
#include "replication/limits.h"
#include "replication/replication.grpc.pb.h"

namespace larder::replication {
namespace {

constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// ReplicaSink waits by itself: gRPC is not to make it wait longer.
constexpr int kReconnectMillisMin = 20;
constexpr int kReconnectMillisMax = 1'000;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

class GrpcCall : public TransferCall {
 public:
  using Stream = grpc::ClientReaderWriter<TransferRequest, TransferReply>;

  grpc::ClientContext* context() { return &context_; }
  void Start(Replication::Stub* stub) { stream_ = stub->Transfer(&context_); }

  bool Write(const TransferRequest& request) override {
    return stream_->Write(request);
  }
  bool Read(TransferReply* reply) override { return stream_->Read(reply); }
  void Cancel() override { context_.TryCancel(); }
  absl::Status Close() override { return FromGrpc(stream_->Finish()); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
};

class GrpcConnectorImpl : public ReplicaConnector {
 public:
  explicit GrpcConnectorImpl(const GrpcConnector::Options& options);

  std::unique_ptr<TransferCall> StartTransfer() override {
    auto call = std::make_unique<GrpcCall>();
    Prepare(options_.transfer_ms_max, call->context());
    call->Start(stub_.get());
    return call;
  }
  absl::StatusOr<BaseReply> Base(const BaseRequest& request) override {
    grpc::ClientContext context;
    Prepare(options_.call_ms_max, &context);
    BaseReply reply;
    LARDER_RETURN_IF_ERROR(FromGrpc(stub_->Base(&context, request, &reply)));
    return reply;
  }
  absl::Status Abort(const AbortRequest& request) override {
    grpc::ClientContext context;
    Prepare(options_.call_ms_max, &context);
    AbortReply reply;
    return FromGrpc(stub_->Abort(&context, request, &reply));
  }
  absl::StatusOr<StatusReply> GetStatus() override {
    grpc::ClientContext context;
    Prepare(options_.call_ms_max, &context);
    StatusReply reply;
    LARDER_RETURN_IF_ERROR(FromGrpc(stub_->Status(&context, {}, &reply)));
    return reply;
  }

 private:
  void Prepare(int64_t ms_max, grpc::ClientContext* context) const {
    context->set_deadline(std::chrono::system_clock::now() +
                          std::chrono::milliseconds(ms_max));
    if (!options_.token.empty()) {
      context->AddMetadata("authorization",
                           absl::StrCat("Bearer ", options_.token));
    }
  }

  const GrpcConnector::Options options_;
  std::unique_ptr<Replication::Stub> stub_;
};

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

GrpcConnectorImpl::GrpcConnectorImpl(const GrpcConnector::Options& options)
    : options_(options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMillisMin);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMillisMax);
  // A connection of its own, and a direct one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  stub_ = Replication::NewStub(grpc::CreateCustomChannel(
      options.replica.Text(), MakeCredentials(options.tls), arguments));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicaConnector>> GrpcConnector::Create(
    const Options& options) {
  const bool has_tls = !options.tls.ca.empty() || !options.tls.key.empty() ||
                       !options.tls.certificate.empty();
  LARDER_RETURN_IF_ERROR(
      CheckConnect(options.replica, has_tls, options.insecure));
  QuietGrpc();
  return std::make_unique<GrpcConnectorImpl>(options);
}

}  // namespace larder::replication
