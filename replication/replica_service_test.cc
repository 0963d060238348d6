#include "replication/replica_service.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/recorded_dump.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/limits.h"
#include "replication/replica_test_support.h"
#include "replication/replication.pb.h"

namespace larder::replication {
namespace {

using backup::RecordedDump;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string BytesOf(const RecordedDump& dump) {
  std::string bytes;
  for (const auto& chunk : dump.chunks) bytes += chunk->bytes;
  return bytes;
}

// A client that says what a test wants it to say.
class RawClient {
 public:
  explicit RawClient(LoopbackNetwork* network, const std::string& peer = "peer")
      : call_(LoopbackConnector(network, peer).StartTransfer()) {}
  ~RawClient() {
    if (call_ != nullptr) End().IgnoreError();
  }

  bool Send(const TransferRequest& request) { return call_->Write(request); }
  // The next reply; a reply of nothing when there is none.
  TransferReply Next() {
    TransferReply reply;
    if (!call_->Read(&reply)) reply.Clear();
    return reply;
  }
  TransferReply SayHello(const RecordedDump& dump,
                         const std::string& token = "", uint64_t term = 1) {
    TransferRequest request;
    Hello* const hello = request.mutable_hello();
    hello->set_protocol_version(kProtocolVersion);
    hello->set_lineage("lineage");
    hello->set_term(term);
    hello->set_header(dump.header.SerializeAsString());
    hello->set_resume_token(token);
    Send(request);
    return Next();
  }
  TransferReply SendPiece(uint64_t position, const std::string& data) {
    TransferRequest request;
    request.mutable_piece()->set_position(position);
    request.mutable_piece()->set_data(data);
    Send(request);
    return Next();
  }
  TransferReply SendSync() {
    TransferRequest request;
    request.mutable_sync();
    Send(request);
    return Next();
  }
  TransferReply SendFinish(uint64_t bytes, const std::string& digest) {
    TransferRequest request;
    request.mutable_finish()->set_bytes(bytes);
    request.mutable_finish()->set_stream_digest(digest);
    Send(request);
    return Next();
  }
  // How the replica ended the call.
  absl::Status Status() {
    TransferReply reply;
    while (call_->Read(&reply)) {
    }
    const absl::Status status = call_->Close();
    call_.reset();
    return status;
  }
  // Cuts it.
  absl::Status End() {
    call_->Cancel();
    return Status();
  }

 private:
  std::unique_ptr<TransferCall> call_;
};

class ReplicaServiceTest : public testing::Test {
 protected:
  ReplicaServiceTest() : dump_(MakeDump(12, 800)), bytes_(BytesOf(dump_)) {}

  void ExpectNothingKept() {
    StatusReply status;
    ASSERT_TRUE(replica_.service->GetStatus(&status).ok());
    EXPECT_EQ(status.transfers_kept(), 0u);
  }
  // From `position` to the Ack.
  void SendRest(RawClient* client, uint64_t position) {
    const std::string rest = bytes_.substr(position);
    EXPECT_EQ(client->SendPiece(position, rest).progress().received_bytes(),
              bytes_.size());
    const Ack ack = client
                        ->SendFinish(bytes_.size(),
                                     dump_.manifest.trailer().stream_digest())
                        .ack();
    EXPECT_EQ(ack.snapshot_id(), dump_.header.snapshot_id());
    const auto& cache = dump_.manifest.header().sources(0).cache();
    EXPECT_EQ(ack.lineage(), cache.lineage());
    EXPECT_EQ(ack.epoch(), cache.epoch());
    EXPECT_EQ(ack.content_digest(), cache.content_digest());
    EXPECT_TRUE(client->Status().ok());
    EXPECT_TRUE(replica_.Verify().ok()) << replica_.Verify();
  }

  RecordedDump dump_;
  std::string bytes_;
  TestReplica replica_;
};

TEST_F(ReplicaServiceTest, TakesADumpInPiecesOfAnySize) {
  for (const size_t piece : {1, 63, 64, 65, 1000, 200'000}) {
    TestReplica replica;
    RawClient client(&replica.network);
    const HelloReply hello = client.SayHello(dump_).hello();
    EXPECT_EQ(hello.received_bytes(), 0u);
    EXPECT_EQ(hello.term(), 1u);
    EXPECT_THAT(hello.base_header(), IsEmpty());
    EXPECT_EQ(hello.resume_expires_unix_ms(), kTestUnixMillis + 3'600'000);
    for (uint64_t at = 0; at < bytes_.size(); at += piece) {
      const Progress progress =
          client.SendPiece(at, bytes_.substr(at, piece)).progress();
      ASSERT_EQ(progress.received_bytes(),
                std::min<uint64_t>(bytes_.size(), at + piece));
      ASSERT_EQ(progress.durable_bytes(), 0u);
    }
    EXPECT_EQ(client.SendSync().progress().durable_bytes(), bytes_.size());
    EXPECT_THAT(replica.List(), IsEmpty());
    EXPECT_TRUE(
        client
            .SendFinish(bytes_.size(), dump_.manifest.trailer().stream_digest())
            .has_ack());
    EXPECT_TRUE(client.Status().ok());
    EXPECT_THAT(replica.List(), SizeIs(1));
    EXPECT_TRUE(replica.Verify().ok());
  }
}

TEST_F(ReplicaServiceTest, ResumesToTheByteAndAfterARestartToTheChunk) {
  const uint64_t inside =
      dump_.chunks[0]->bytes.size() + dump_.chunks[1]->bytes.size() / 2;
  std::string token;
  {
    RawClient client(&replica_.network);
    token = client.SayHello(dump_).hello().resume_token();
    client.SendPiece(0, bytes_.substr(0, inside));
  }
  {
    RawClient client(&replica_.network);
    const HelloReply hello = client.SayHello(dump_, token).hello();
    EXPECT_EQ(hello.received_bytes(), inside);
    EXPECT_EQ(hello.durable_bytes(), 0u);
  }
  replica_.Kill();
  RawClient client(&replica_.network);
  const HelloReply hello = client.SayHello(dump_, token).hello();
  EXPECT_EQ(hello.received_bytes(), dump_.chunks[0]->bytes.size());
  EXPECT_EQ(hello.durable_bytes(), hello.received_bytes());
  SendRest(&client, hello.received_bytes());
  ExpectNothingKept();
}

TEST_F(ReplicaServiceTest, ANewerConnectionTakesTheTransferOver) {
  RawClient old(&replica_.network);
  const std::string token = old.SayHello(dump_).hello().resume_token();
  old.SendPiece(0, bytes_.substr(0, 100));
  RawClient newer(&replica_.network);
  EXPECT_EQ(newer.SayHello(dump_, token).hello().received_bytes(), 100u);
  // The old one is heard no more.
  EXPECT_FALSE(old.SendPiece(100, "x").has_progress());
  SendRest(&newer, 100);
}

TEST_F(ReplicaServiceTest, AnAckThatGotLostIsGivenAgain) {
  std::string token;
  {
    RawClient client(&replica_.network);
    token = client.SayHello(dump_).hello().resume_token();
    SendRest(&client, 0);
  }
  RawClient client(&replica_.network);
  const HelloReply hello = client.SayHello(dump_, token).hello();
  EXPECT_EQ(hello.published().stream_digest(),
            dump_.manifest.trailer().stream_digest());
  EXPECT_TRUE(client.Status().ok());
  // Another dump of that name is refused.
  RecordedDump other = dump_;
  other.header.set_stream_id(other.header.stream_id() + 1);
  RawClient stranger(&replica_.network);
  stranger.SayHello(other);
  EXPECT_EQ(stranger.Status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ReplicaServiceTest, ATokenIsOfUseToItsPeerOnlyAndForItsDump) {
  std::string token;
  {
    RawClient client(&replica_.network);
    token = client.SayHello(dump_).hello().resume_token();
    client.SendPiece(0, bytes_.substr(0, 100));
  }
  {
    RawClient thief(&replica_.network, "thief");
    thief.SayHello(dump_, token);
    EXPECT_EQ(thief.Status().code(), absl::StatusCode::kUnauthenticated);
  }
  {
    RawClient thief(&replica_.network, "thief");
    thief.SayHello(dump_);  // Nor can another peer begin it anew.
    EXPECT_EQ(thief.Status().code(), absl::StatusCode::kAlreadyExists);
  }
  {
    RawClient client(&replica_.network);
    client.SayHello(MakeDump(12, 800, 99), token);
    EXPECT_EQ(client.Status().code(), absl::StatusCode::kUnauthenticated);
  }
  {
    RawClient client(&replica_.network);
    client.SayHello(dump_, token.substr(1) + "x");
    EXPECT_EQ(client.Status().code(), absl::StatusCode::kUnauthenticated);
  }
  replica_.Kill();  // Whose it is, the disk knows.
  {
    RawClient thief(&replica_.network, "thief");
    thief.SayHello(dump_);
    EXPECT_EQ(thief.Status().code(), absl::StatusCode::kAlreadyExists);
  }
  RawClient client(&replica_.network);
  EXPECT_EQ(client.SayHello(dump_, token).hello().received_bytes(), 0u);
  SendRest(&client, 0);
}

TEST_F(ReplicaServiceTest, ATokenExpiresWithWhatIsKept) {
  std::string token;
  {
    RawClient client(&replica_.network);
    token = client.SayHello(dump_).hello().resume_token();
    client.SendPiece(0, bytes_.substr(0, 5000));
  }
  replica_.clock.AdvanceMillis(3'600'000);
  {
    RawClient client(&replica_.network);
    client.SayHello(dump_, token);
    const absl::Status status = client.Status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_THAT(std::string(status.message()), HasSubstr("expired"));
  }
  ASSERT_TRUE(replica_.service->RemoveExpired().ok());
  ExpectNothingKept();
}

TEST_F(ReplicaServiceTest, ALongStreamGetsFreshTokens) {
  RawClient client(&replica_.network);
  const std::string first = client.SayHello(dump_).hello().resume_token();
  EXPECT_THAT(
      client.SendPiece(0, bytes_.substr(0, 10)).progress().resume_token(),
      IsEmpty());
  replica_.clock.AdvanceMillis(2'000'000);
  const std::string second =
      client.SendPiece(10, bytes_.substr(10, 10)).progress().resume_token();
  EXPECT_THAT(second, SizeIs(kResumeTokenBytes));
  client.End().IgnoreError();
  replica_.clock.AdvanceMillis(2'000'000);
  ASSERT_TRUE(replica_.service->RemoveExpired().ok());
  RawClient late(&replica_.network);
  EXPECT_EQ(late.SayHello(dump_, second).hello().received_bytes(), 20u);
}

TEST_F(ReplicaServiceTest, AbortRemovesWhatIsKeptAndVoidsTheToken) {
  LoopbackConnector connector(&replica_.network, "peer");
  RawClient client(&replica_.network);
  AbortRequest abort;
  abort.set_lineage("lineage");
  abort.set_header(dump_.header.SerializeAsString());
  abort.set_resume_token(client.SayHello(dump_).hello().resume_token());
  client.SendPiece(0, bytes_.substr(0, 5000));
  EXPECT_EQ(LoopbackConnector(&replica_.network, "thief").Abort(abort).code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(connector.Abort(abort).ok());  // Also of one that runs.
  EXPECT_FALSE(client.SendSync().has_progress());
  ExpectNothingKept();
  RawClient again(&replica_.network);
  again.SayHello(dump_, abort.resume_token());
  EXPECT_EQ(again.Status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(connector.Abort(abort).ok());
}

TEST_F(ReplicaServiceTest, FencesLowerTermsAlsoInTheMiddleAndAfterARestart) {
  RawClient old(&replica_.network);
  old.SayHello(dump_, "", 3);
  old.SendPiece(0, bytes_);
  const RecordedDump other = MakeDump(12, 800, 2);
  {
    RawClient promoted(&replica_.network, "promoted");
    EXPECT_EQ(promoted.SayHello(other, "", 4).hello().term(), 4u);
    old.SendFinish(bytes_.size(), dump_.manifest.trailer().stream_digest());
  }
  replica_.Kill();
  RawClient back(&replica_.network);
  back.SayHello(dump_, "", 3);
  const absl::Status status = back.Status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("term 3 vs 4"));
  EXPECT_THAT(replica_.List(), IsEmpty());
  RawClient same(&replica_.network, "promoted");
  EXPECT_EQ(same.SayHello(other, "", 4).hello().term(), 4u);
}

TEST_F(ReplicaServiceTest, RefusesATermBehindTheLast) {
  for (const uint64_t term : {kTermMax + 1, UINT64_MAX}) {
    RawClient client(&replica_.network);
    client.SayHello(dump_, "", term);
    EXPECT_EQ(client.Status().code(), absl::StatusCode::kInvalidArgument);
  }
  RawClient client(&replica_.network);
  EXPECT_EQ(client.SayHello(dump_, "", 1).hello().term(), 1u);
}

// A term that is admitted at any operation of a publication, up to the one that
// makes it visible, stops it.
TEST_F(ReplicaServiceTest, ATermThatRisesDuringAPublicationFencesIt) {
  using Operation = cache::l2::SimulatedDisk::Operation;
  using Kind = cache::l2::SimulatedDisk::OperationKind;
  const RecordedDump other = MakeDump(12, 800, 2);
  bool was_last = false;
  int at = 0;
  for (; !was_last; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at));
    TestReplica replica;
    RawClient old(&replica.network);
    old.SayHello(dump_, "", 3);
    old.SendPiece(0, bytes_);
    int count = 0;
    bool has_risen = false;
    replica.disk.SetHook([&](const Operation& operation) {
      if (has_risen || count++ < at) return absl::OkStatus();
      has_risen = true;  // First: to persist the term is an operation, too.
      RawClient promoted(&replica.network, "promoted");
      EXPECT_EQ(promoted.SayHello(other, "", 4).hello().term(), 4u);
      was_last = operation.kind == Kind::kSync &&
                 absl::EndsWith(operation.path, ".tmp");
      return absl::OkStatus();
    });
    old.SendFinish(bytes_.size(), dump_.manifest.trailer().stream_digest());
    old.End().IgnoreError();
    replica.Stop();
    replica.disk.SetHook(nullptr);
    ASSERT_TRUE(has_risen);
    EXPECT_THAT(replica.List(), IsEmpty());
    EXPECT_TRUE(replica.Verify().ok()) << replica.Verify();
    if (HasFailure()) return;
  }
  EXPECT_GT(at, 5);
}

TEST_F(ReplicaServiceTest, RefusesWhatIsNotTheProtocol) {
  const auto refuse = [this](absl::StatusCode code, auto edit) {
    RawClient client(&replica_.network);
    TransferRequest request;
    Hello* const hello = request.mutable_hello();
    hello->set_protocol_version(kProtocolVersion);
    hello->set_term(1);
    hello->set_header(dump_.header.SerializeAsString());
    edit(&request);
    client.Send(request);
    EXPECT_EQ(client.Status().code(), code);
    ExpectNothingKept();
  };
  using Code = absl::StatusCode;
  refuse(Code::kInvalidArgument, [](TransferRequest* r) { r->Clear(); });
  refuse(Code::kInvalidArgument, [](TransferRequest* r) { r->mutable_sync(); });
  refuse(Code::kFailedPrecondition, [](TransferRequest* r) {
    r->mutable_hello()->set_protocol_version(2);
  });
  refuse(Code::kInvalidArgument,
         [](TransferRequest* r) { r->mutable_hello()->set_term(0); });
  refuse(Code::kInvalidArgument, [](TransferRequest* r) {
    r->mutable_hello()->set_lineage(std::string(kLineageBytesMax + 1, 'x'));
  });
  refuse(Code::kInvalidArgument, [](TransferRequest* r) {
    r->mutable_hello()->set_header(std::string(kHeaderBytesMax + 1, 'x'));
  });
  refuse(Code::kDataLoss,
         [](TransferRequest* r) { r->mutable_hello()->set_header("\xff"); });
  refuse(Code::kDataLoss, [this](TransferRequest* r) {
    auto header = dump_.header;
    header.set_snapshot_id("../../etc");
    r->mutable_hello()->set_header(header.SerializeAsString());
  });
  refuse(Code::kUnauthenticated,
         [](TransferRequest* r) { r->mutable_hello()->set_resume_token("x"); });
}

TEST_F(ReplicaServiceTest, RefusesWhatIsNotTheDumpAndKeepsNothingOfIt) {
  const auto refuse = [this](absl::StatusCode code, auto act) {
    RawClient client(&replica_.network);
    client.SayHello(dump_);
    act(&client);
    const absl::Status status = client.Status();
    EXPECT_EQ(status.code(), code) << status;
    ExpectNothingKept();
    EXPECT_THAT(replica_.List(), IsEmpty());
  };
  using Code = absl::StatusCode;
  refuse(Code::kInvalidArgument, [this](RawClient* c) { c->SayHello(dump_); });
  refuse(Code::kInvalidArgument, [](RawClient* c) { c->SendPiece(0, ""); });
  refuse(Code::kInvalidArgument, [](RawClient* c) { c->SendPiece(1, "x"); });
  refuse(Code::kInvalidArgument, [](RawClient* c) {
    c->SendPiece(0, std::string(kPieceBytesMax + 1, 'x'));
  });
  refuse(Code::kInvalidArgument, [this](RawClient* c) {
    c->SendPiece(0, bytes_);
    c->SendPiece(bytes_.size(), bytes_);  // Behind the trailer.
  });
  refuse(Code::kInvalidArgument, [](RawClient* c) { c->SendFinish(0, ""); });
  refuse(Code::kInvalidArgument, [this](RawClient* c) {
    c->SendPiece(0, bytes_.substr(0, bytes_.size() - 1));
    c->SendFinish(bytes_.size(), dump_.manifest.trailer().stream_digest());
  });
  refuse(Code::kInvalidArgument, [this](RawClient* c) {
    c->SendPiece(0, bytes_);
    c->SendFinish(bytes_.size(), std::string(16, 'x'));
  });
  for (size_t at = 0; at < bytes_.size(); at += 97) {  // Any byte inverted.
    refuse(Code::kDataLoss, [this, at](RawClient* c) {
      std::string bytes = bytes_;
      bytes[at] = static_cast<char>(~bytes[at]);
      c->SendPiece(0, bytes);
      c->SendFinish(bytes.size(), dump_.manifest.trailer().stream_digest());
    });
    if (HasFailure()) break;
  }
}

TEST_F(ReplicaServiceTest, StreamsAreBounded) {
  replica_.service_options.streams_max = 1;
  replica_.Kill();
  RawClient first(&replica_.network);
  first.SayHello(dump_);
  RawClient second(&replica_.network);
  second.SayHello(MakeDump(2, 100, 2));
  EXPECT_EQ(second.Status().code(), absl::StatusCode::kUnavailable);
  SendRest(&first, 0);
  RawClient third(&replica_.network);
  EXPECT_TRUE(third.SayHello(MakeDump(2, 100, 3)).has_hello());
}

TEST_F(ReplicaServiceTest, WhatIsKeptIsBoundedAndTheOldestGoes) {
  replica_.service_options.kept_max = 2;
  replica_.Kill();
  std::vector<RecordedDump> dumps;
  std::vector<std::string> tokens;
  for (uint64_t i = 0; i < 3; ++i) {
    dumps.push_back(MakeDump(2, 100, 10 + i));
    RawClient client(&replica_.network);
    tokens.push_back(client.SayHello(dumps[i]).hello().resume_token());
    replica_.clock.AdvanceMillis(1000);
  }
  RawClient oldest(&replica_.network);
  oldest.SayHello(dumps[0], tokens[0]);
  EXPECT_EQ(oldest.Status().code(), absl::StatusCode::kNotFound);
  for (size_t i : {1, 2}) {
    RawClient client(&replica_.network);
    EXPECT_TRUE(client.SayHello(dumps[i], tokens[i]).has_hello());
  }
}

TEST_F(ReplicaServiceTest, TellsItsBase) {
  LoopbackConnector connector(&replica_.network, "peer");
  EXPECT_THAT(connector.Base({})->header(), IsEmpty());
  {
    RawClient client(&replica_.network);
    client.SayHello(dump_);
    SendRest(&client, 0);
  }
  const std::string expected = dump_.manifest.header().SerializeAsString();
  EXPECT_EQ(connector.Base({})->header(), expected);
  BaseRequest named;
  named.set_snapshot_id(dump_.header.snapshot_id());
  EXPECT_EQ(connector.Base(named)->header(), expected);
  named.set_snapshot_id("absent");
  EXPECT_THAT(connector.Base(named)->header(), IsEmpty());
  named.set_snapshot_id("../x");
  EXPECT_EQ(connector.Base(named).status().code(),
            absl::StatusCode::kInvalidArgument);
  RawClient next(&replica_.network);
  EXPECT_EQ(next.SayHello(MakeDump(2, 100, 2)).hello().base_header(), expected);
  const auto status = connector.GetStatus();
  EXPECT_EQ(status->base_header(), expected);
  EXPECT_EQ(status->term(), 1u);
  EXPECT_EQ(status->transfers(), 1u);
  EXPECT_EQ(status->transfers_kept(), 1u);
}

// Caches that share an archive each build on their own.
TEST_F(ReplicaServiceTest, TellsTheBaseOfTheLineage) {
  const auto publish = [this](RecordedDump dump) {
    dump_ = std::move(dump);
    bytes_ = BytesOf(dump_);
    RawClient client(&replica_.network);
    client.SayHello(dump_);
    SendRest(&client, 0);
    return dump_.manifest.header().SerializeAsString();
  };
  const auto dump_of = [](const std::string& lineage, uint64_t seed) {
    backup::FakeCache cache = backup::MakeFakeCache(2, 100);
    cache.info.lineage = lineage;
    backup::TestBackupOptions options;
    options.random_seed = seed;
    return backup::RecordDump(&cache, std::move(options));
  };
  const std::string own = publish(dump_of("lineage", 1));
  const std::string newest = publish(dump_of("other", 2));
  RawClient next(&replica_.network);
  EXPECT_EQ(next.SayHello(MakeDump(2, 100, 3)).hello().base_header(), own);
  EXPECT_EQ(LoopbackConnector(&replica_.network, "peer").Base({})->header(),
            newest);
}

TEST_F(ReplicaServiceTest, TwoReplicasDoNotShareAnArchive) {
  EXPECT_EQ(OpenTestReplica(&replica_.disk, replica_.options()).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace larder::replication
