#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/recorded_dump.h"
#include "cache/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/credentials.h"
#include "replication/endpoint.h"
#include "replication/grpc_connector.h"
#include "replication/grpc_server.h"
#include "replication/live_replica_test_support.h"
#include "replication/replica_sink.h"
#include "replication/replica_test_support.h"
#include "replication/tcp_proxy.h"
#include "replication/test_certificate.h"

namespace larder::replication {
namespace {

using backup::RecordedDump;
using backup::Replay;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kToken[] = "a-token-of-this-test";

class GrpcTransportTest : public testing::Test {
 protected:
  // On loopback, at any port.
  void Listen(GrpcReplicaServer::Options options = {}) {
    if (options.listen.host.empty()) {
      options.listen = *ParseEndpoint("127.0.0.1:0");
    }
    auto server = GrpcReplicaServer::Start(options, replica_.service.get());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<ReplicaSink> Sink(GrpcConnector::Options options,
                                    uint64_t term = 1) {
    if (options.replica.host.empty()) options.replica = server_->endpoint();
    auto connector = GrpcConnector::Create(options);
    EXPECT_TRUE(connector.ok()) << connector.status();
    return ReplicaSink::Create(*std::move(connector),
                               {.name = "grpc",
                                .lineage = "lineage",
                                .term = term,
                                .give_up_at_first_ms = 500,
                                .backoff_ms_min = 1,
                                .random_seed = 1});
  }

  TestReplica replica_;
  std::unique_ptr<GrpcReplicaServer> server_;
};

TEST_F(GrpcTransportTest, GivesADump) {
  Listen();
  const auto sink = Sink({});
  for (uint64_t seed : {1, 2}) {
    const RecordedDump dump = MakeDump(40, 3000, seed);
    const auto receipt = Replay(dump, sink.get());
    ASSERT_TRUE(receipt.ok()) << receipt.status();
  }
  EXPECT_THAT(replica_.List(), SizeIs(2));
  EXPECT_TRUE(replica_.Verify().ok()) << replica_.Verify();
  const auto connector =
      GrpcConnector::Create({.replica = server_->endpoint()});
  const auto status = (*connector)->GetStatus();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->term(), 1u);
  EXPECT_EQ(status->transfers_kept(), 0u);
  EXPECT_EQ((*connector)->Base({})->header(),
            replica_.List()[1].manifest.header().SerializeAsString());
}

TEST_F(GrpcTransportTest, TheConnectionIsCutAHundredTimes) {
  // Chunks of about 1 MiB.
  backup::FakeCache cache;
  cache.make_frame = [](size_t i) { return backup::RandomBytes(i, 1 << 18); };
  for (int i = 0; i < 8; ++i) {
    cache.PutGenerated("ns", absl::StrCat("key", i), 16, 1 << 18);
  }
  backup::TestBackupOptions options;
  options.source = {};
  const RecordedDump dump = backup::RecordDump(&cache, std::move(options));
  Listen();
  std::mt19937_64 random(11);
  int connections = 0;
  const int64_t mean = static_cast<int64_t>(dump.bytes()) / 110;
  TcpProxy proxy(server_->endpoint().port, [&]() -> int64_t {
    if (++connections > 100) return -1;
    return static_cast<int64_t>(random() % static_cast<uint64_t>(2 * mean));
  });
  const auto sink = Sink(
      {.replica = *ParseEndpoint(absl::StrCat("127.0.0.1:", proxy.port()))});
  const auto receipt = Replay(dump, sink.get());
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(proxy.cuts(), 100);
  EXPECT_TRUE(replica_.Verify().ok()) << replica_.Verify();
  EXPECT_THAT(replica_.List(), SizeIs(1));
  // A window each at most: 1 MiB at first, then 32 KiB, and a 32nd of what a
  // connection has moved.
  const int64_t again =
      (1 << 20) + 100 * (32 << 10) + static_cast<int64_t>(dump.bytes()) / 32;
  EXPECT_LE(sink->counts().bytes_sent,
            static_cast<int64_t>(dump.bytes()) + again);
}

TEST_F(GrpcTransportTest, TheReplicaIsRestartedInTheMiddle) {
  const RecordedDump dump = MakeDump(40, 3000);
  Listen();
  TcpProxy proxy(server_->endpoint().port, [] { return -1; });
  const auto sink = Sink(
      {.replica = *ParseEndpoint(absl::StrCat("127.0.0.1:", proxy.port()))});
  ASSERT_TRUE(sink->Begin(dump.header).ok());
  for (size_t i = 0; i < dump.chunks.size(); ++i) {
    const absl::Status status = sink->Append(dump.chunks[i]);
    ASSERT_TRUE(status.ok()) << status;
    if (i % 20 != 10) continue;
    server_.reset();
    replica_.Kill();
    Listen();
    proxy.SetTarget(server_->endpoint().port);
  }
  const auto receipt = sink->Finish(dump.manifest);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_TRUE(replica_.Verify().ok()) << replica_.Verify();
  EXPECT_GT(sink->counts().connections, 2);
}

TEST_F(GrpcTransportTest, AsksForABearerToken) {
  Listen({.tokens = {kToken, "another-token-of-it"}});
  const RecordedDump dump = MakeDump(3, 300);
  for (const char* wrong : {"", "a-token-of-this-tesT"}) {
    const auto sink = Sink({.token = wrong});
    const absl::Status status = sink->Begin(dump.header);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
    EXPECT_EQ(sink->counts().connections, 1);
    const auto connector =
        GrpcConnector::Create({.replica = server_->endpoint(), .token = wrong});
    EXPECT_EQ((*connector)->GetStatus().status().code(),
              absl::StatusCode::kUnauthenticated);
    EXPECT_EQ((*connector)->Base({}).status().code(),
              absl::StatusCode::kUnauthenticated);
    EXPECT_EQ((*connector)->Abort({}).code(),
              absl::StatusCode::kUnauthenticated);
  }
  const auto receipt = Replay(dump, Sink({.token = kToken}).get());
  EXPECT_TRUE(receipt.ok()) << receipt.status();
}

TEST_F(GrpcTransportTest, SpeaksTlsBothWays) {
  const TestCertificate replica =
      // No name to look up: the system's resolver leaks some bytes each time.
      MakeTestCertificate("replica", "IP:127.0.0.1");
  const TestCertificate primary = MakeTestCertificate("primary", "DNS:primary");
  const TestCertificate stranger =
      MakeTestCertificate("stranger", "IP:127.0.0.1");
  Listen({.tls = {replica.certificate, replica.key, primary.certificate}});
  const RecordedDump dump = MakeDump(3, 300);
  const auto fails = [&](TlsCredentials tls) {
    const auto sink = Sink({.tls = std::move(tls)});
    return sink->Begin(dump.header).code();
  };
  using Code = absl::StatusCode;
  EXPECT_EQ(fails({}), Code::kUnavailable);  // In the clear.
  EXPECT_EQ(fails({"", "", replica.certificate}), Code::kUnavailable);
  EXPECT_EQ(fails({stranger.certificate, stranger.key, replica.certificate}),
            Code::kUnavailable);
  EXPECT_EQ(fails({primary.certificate, primary.key, stranger.certificate}),
            Code::kUnavailable);
  const auto receipt = Replay(
      dump,
      Sink({.tls = {primary.certificate, primary.key, replica.certificate}})
          .get());
  EXPECT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_TRUE(replica_.Verify().ok()) << replica_.Verify();
}

TEST_F(GrpcTransportTest, TellsAFencedPrimary) {
  Listen();
  ASSERT_TRUE(Replay(MakeDump(3, 300, 1), Sink({}, 2).get()).ok());
  const absl::Status status = Sink({}, 1)->Begin(MakeDump(3, 300, 2).header);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("term 1 vs 2"));
}

TEST_F(GrpcTransportTest, ListensWhereItMayOnly) {
  const auto start = [this](GrpcReplicaServer::Options options) {
    return GrpcReplicaServer::Start(options, replica_.service.get()).status();
  };
  const Endpoint open = *ParseEndpoint("0.0.0.0:0");
  EXPECT_EQ(start({.listen = open}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(start({.listen = open, .tokens = {kToken}}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(start({.listen = open, .insecure = true}).ok());
  Listen();
  const absl::Status taken = start({.listen = server_->endpoint()});
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("taken"));
  EXPECT_EQ(start({.listen = *ParseEndpoint("127.0.0.1:0"),
                   .tls = {.certificate = "x", .key = "", .ca = ""}})
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GrpcConnector::Create({.replica = *ParseEndpoint("10.0.0.1:1")})
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(GrpcReadTest, ALiveReplicaServesBlobsInPieces) {
  cache::ManualClock clock(kTestUnixMillis);
  LivePrimary primary(&clock);
  LiveReplica replica(&clock);
  ASSERT_TRUE(replica.Start().ok());
  const auto server = GrpcReplicaServer::Start(
      {.listen = *ParseEndpoint("127.0.0.1:0"), .tokens = {kToken}},
      replica.service.get(), replica.live.get());
  ASSERT_TRUE(server.ok()) << server.status();
  const auto get = [&](const std::string& key, const std::string& token,
                       std::string* bytes) {
    return GrpcConnector::Get(
        {.replica = (*server)->endpoint(), .token = token}, "ns", key,
        [bytes](const GetReply& piece) {
          EXPECT_LE(piece.data().size(), size_t{256} << 10);
          bytes->append(piece.data());
          return absl::OkStatus();
        });
  };
  std::string bytes;
  EXPECT_TRUE(absl::IsUnavailable(get("key", kToken, &bytes)));
  std::map<std::string, std::string> blobs;
  for (const size_t size :
       {size_t{0}, size_t{10}, size_t{1} << 20, (size_t{3} << 20) + 7}) {
    const std::string key = absl::StrCat("key", size);
    blobs[key] = backup::RandomBytes(size, size);
    ASSERT_TRUE(primary.cache->Put("ns", key, blobs[key], {}).ok());
  }
  ASSERT_EQ(primary.Backup({&replica}).outcome, backup::Outcome::kOk);
  for (const auto& [key, expected] : blobs) {
    bytes.clear();
    const absl::Status got = get(key, kToken, &bytes);
    ASSERT_TRUE(got.ok()) << got;
    EXPECT_TRUE(bytes == expected) << key;
  }
  EXPECT_TRUE(absl::IsNotFound(get("absent", kToken, &bytes)));
  EXPECT_TRUE(absl::IsNotFound(get(std::string(5000, 'k'), kToken, &bytes)));
  EXPECT_TRUE(
      absl::IsUnauthenticated(get("key10", "another-token-here", &bytes)));
}

}  // namespace
}  // namespace larder::replication
