#include "replication/grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/status_macros.h"
#include "replication/grpc_quiet.h"
#include "replication/limits.h"
#include "replication/replication.grpc.pb.h"
#include "replication/send_blob.h"

namespace larder::replication {
namespace {

constexpr size_t kQuotaBytes = 64 << 20;
constexpr int kThreadsMax = 64;
// A silent connection is asked whether it is alive, and cut when it is not.
constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// Clients may ask as often.
constexpr int kPingIntervalMillisMin = 10'000;

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

class GrpcStream : public ServerStream {
 public:
  using Stream = grpc::ServerReaderWriter<TransferReply, TransferRequest>;
  GrpcStream(grpc::ServerContext* context, Stream* stream)
      : context_(context), stream_(stream) {}

  bool Read(TransferRequest* request) override {
    return stream_->Read(request);
  }
  bool Write(const TransferReply& reply) override {
    return stream_->Write(reply);
  }
  void Cancel() override { context_->TryCancel(); }

 private:
  grpc::ServerContext* const context_;
  Stream* const stream_;
};

// "ipv4:10.0.0.1:4711" without the port, which changes with each connection.
std::string AddressOf(const grpc::ServerContext& context) {
  const std::string peer = context.peer();
  return absl::StrCat("addr:", peer.substr(0, peer.rfind(':')));
}

class Service final : public Replication::Service {
 public:
  Service(ReplicaService* service, const BlobReader* reader,
          const std::vector<std::string>& tokens)
      : service_(service), reader_(reader), tokens_(tokens) {}

  grpc::Status Transfer(grpc::ServerContext* context,
                        GrpcStream::Stream* stream) override {
    const absl::StatusOr<std::string> peer = Admit(*context);
    if (!peer.ok()) return ToGrpc(peer.status());
    GrpcStream server_stream(context, stream);
    return ToGrpc(service_->Transfer(*peer, &server_stream));
  }
  grpc::Status Base(grpc::ServerContext* context, const BaseRequest* request,
                    BaseReply* reply) override {
    const absl::StatusOr<std::string> peer = Admit(*context);
    if (!peer.ok()) return ToGrpc(peer.status());
    return ToGrpc(service_->Base(*request, reply));
  }
  grpc::Status Abort(grpc::ServerContext* context, const AbortRequest* request,
                     AbortReply* /*reply*/) override {
    const absl::StatusOr<std::string> peer = Admit(*context);
    if (!peer.ok()) return ToGrpc(peer.status());
    return ToGrpc(service_->Abort(*peer, *request));
  }
  grpc::Status Get(grpc::ServerContext* context, const GetRequest* request,
                   grpc::ServerWriter<GetReply>* writer) override {
    const absl::StatusOr<std::string> peer = Admit(*context);
    if (!peer.ok()) return ToGrpc(peer.status());
    if (reader_ == nullptr) {
      return ToGrpc(absl::FailedPreconditionError(
          "get: an archive replica serves no reads: ask a live one "
          "(`larder replica --l2`)"));
    }
    return ToGrpc(SendBlob(*reader_, *request, [writer](const GetReply& piece) {
      return writer->Write(piece);
    }));
  }
  grpc::Status Status(grpc::ServerContext* context,
                      const StatusRequest* /*request*/,
                      StatusReply* reply) override {
    const absl::StatusOr<std::string> peer = Admit(*context);
    if (!peer.ok()) return ToGrpc(peer.status());
    return ToGrpc(service_->GetStatus(reply));
  }

 private:
  // Who calls. Errors: kUnauthenticated.
  absl::StatusOr<std::string> Admit(const grpc::ServerContext& context) const {
    std::optional<std::string> token;
    if (!tokens_.empty()) {
      const auto shown = context.client_metadata().find("authorization");
      if (shown != context.client_metadata().end()) {
        token = tokens_.Find({shown->second.data(), shown->second.size()});
      }
      if (!token.has_value()) {
        return absl::UnauthenticatedError(
            "bearer token: none, or not one that this replica knows");
      }
    }
    const auto auth = context.auth_context();
    if (auth->IsPeerAuthenticated()) {
      std::string name = "cert:";
      for (const grpc::string_ref& part : auth->GetPeerIdentity()) {
        absl::StrAppend(&name, absl::string_view(part.data(), part.size()),
                        ",");
      }
      return name;
    }
    return token.has_value() ? *token : AddressOf(context);
  }

  ReplicaService* const service_;
  const BlobReader* const reader_;  // May be null.
  const BearerTokens tokens_;
};

class GrpcReplicaServerImpl : public GrpcReplicaServer {
 public:
  GrpcReplicaServerImpl(ReplicaService* service, const BlobReader* reader,
                        const std::vector<std::string>& tokens)
      : service_(service, reader, tokens) {}
  ~GrpcReplicaServerImpl() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  absl::Status Listen(const Options& options);
  const Endpoint& endpoint() const override { return endpoint_; }

 private:
  Service service_;
  Endpoint endpoint_;
  std::unique_ptr<grpc::Server> server_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const TlsCredentials& tls) {
  if (tls.certificate.empty() && tls.key.empty() && tls.ca.empty()) {
    return grpc::InsecureServerCredentials();
  }
  if (tls.certificate.empty() || tls.key.empty()) {
    return absl::InvalidArgumentError(
        "TLS: a replica needs both a certificate and its key");
  }
  grpc::SslServerCredentialsOptions ssl(
      tls.ca.empty()
          ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_root_certs = tls.ca;
  ssl.pem_key_cert_pairs.push_back({tls.key, tls.certificate});
  return grpc::SslServerCredentials(ssl);
}

absl::Status GrpcReplicaServerImpl::Listen(const Options& options) {
  LARDER_ASSIGN_OR_RETURN(const auto credentials, MakeCredentials(options.tls));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen.Text(), credentials, &port);
  builder.RegisterService(&service_);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  grpc::ResourceQuota quota("replica");
  quota.Resize(kQuotaBytes);
  quota.SetMaxThreads(kThreadsMax);
  builder.SetResourceQuota(quota);
  // Two replicas on one port would each get some of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kThreadsMax / 2);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      kPingIntervalMillisMin);
  // A piece in one frame, not in 16: less to do at both ends.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE,
                             static_cast<int>(kMessageBytesMax));
  // So that a window that the service allows never blocks the client's writes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             static_cast<int>(kWindowBytesMax));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "listen ", options.listen.Text(),
        ": taken by another process, not an address of this machine, or the "
        "certificate and key do not fit"));
  }
  endpoint_ = options.listen;
  endpoint_.port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcReplicaServer>> GrpcReplicaServer::Start(
    const Options& options, ReplicaService* service, const BlobReader* reader) {
  LARDER_RETURN_IF_ERROR(
      CheckListen(options.listen, !options.tls.certificate.empty(),
                  !options.tokens.empty(), options.insecure));
  QuietGrpc();
  auto server =
      std::make_unique<GrpcReplicaServerImpl>(service, reader, options.tokens);
  LARDER_RETURN_IF_ERROR(server->Listen(options));
  return server;
}

}  // namespace larder::replication
