// A replica and a client that says anything: it is answered with an error or
// with what it asked for, and what is listed afterwards is whole. Input: a mode
// (u8), then messages, each behind its size (u16). Mode 1 makes a chunk, with
// right checksums and in order, of each piece's first byte, its type, and the
// rest, its payload.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "google/protobuf/stubs/logging.h"
#include "replication/archive_receiver.h"
#include "replication/limits.h"
#include "replication/replica_service.h"
#include "replication/replication.pb.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"
#include "tests/fuzz/input.h"

namespace larder::replication {
namespace {

constexpr char kArchive[] = "/archive";
constexpr uint64_t kStreamId = 12;  // Of the seeds.

class InputStream : public ServerStream {
 public:
  explicit InputStream(absl::string_view input) : input_(input) {
    if (input_.empty()) return;
    mends_ = input_[0] == 1;
    input_.remove_prefix(1);
  }

  bool Read(TransferRequest* request) override {
    if (cancelled_ || input_.size() < 2) return false;
    const size_t size = backup::format::LoadFixed<uint16_t>(input_.data());
    input_.remove_prefix(2);
    const absl::string_view message = input_.substr(0, size);
    input_.remove_prefix(message.size());
    if (!request->ParseFromArray(message.data(),
                                 static_cast<int>(message.size()))) {
      return false;  // gRPC ends the call.
    }
    if (mends_ && request->has_piece()) Mend(request->mutable_piece());
    return true;
  }
  bool Write(const TransferReply& reply) override {
    LARDER_CHECK(!cancelled_);
    LARDER_CHECK(reply.ByteSizeLong() <= kMessageBytesMax);
    LARDER_CHECK(!acknowledged_);
    if (reply.has_progress()) {
      LARDER_CHECK(reply.progress().durable_bytes() <=
                   reply.progress().received_bytes());
    }
    acknowledged_ = reply.has_ack();
    return true;
  }
  void Cancel() override { cancelled_ = true; }

  bool acknowledged() const { return acknowledged_; }

 private:
  void Mend(Piece* piece) {
    if (piece->data().empty()) return;
    backup::format::ChunkHeader header;
    header.type = static_cast<uint8_t>(piece->data()[0]);
    header.flags = backup::format::kFlagCritical;
    header.stream_id = kStreamId;
    header.sequence = sequence_++;
    const std::string payload = piece->data().substr(1);
    piece->set_data(
        backup::format::Compressor(1).Build(header, payload, false).bytes);
    piece->set_position(position_);
    position_ += piece->data().size();
  }

  absl::string_view input_;
  bool mends_ = false;
  bool cancelled_ = false;
  bool acknowledged_ = false;
  uint64_t sequence_ = 0;
  uint64_t position_ = 0;
};

std::unique_ptr<ReplicaService> Open(cache::l2::SimulatedDisk* disk,
                                     cache::Clock* clock) {
  auto receiver = ArchiveReceiver::Open(kArchive, {.file_system = disk});
  LARDER_CHECK(receiver.ok());
  auto terms = TermStore::Open(disk, ArchiveReceiver::OwnDirectory(kArchive));
  LARDER_CHECK(terms.ok());
  return std::make_unique<ReplicaService>(
      *std::move(receiver), *std::move(terms),
      ResumeTokens(std::string(32, 'k')),
      ReplicaService::Options{.clock = clock});
}

void CheckService(absl::string_view input) {
  // It logs each string that is not UTF-8.
  static const auto unused = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(unused);
  cache::l2::SimulatedDisk disk;
  cache::ManualClock clock(1'700'000'000'000);
  const std::unique_ptr<ReplicaService> service = Open(&disk, &clock);
  InputStream stream(input);
  const absl::Status status = service->Transfer("peer", &stream);
  LARDER_CHECK(!absl::IsInternal(status) && !absl::IsUnknown(status));
  StatusReply state;
  LARDER_CHECK(service->GetStatus(&state).ok());
  LARDER_CHECK(state.transfers() == 0);
  LARDER_CHECK(state.transfers_kept() == (absl::IsAborted(status) ? 1 : 0) ||
               state.transfers_kept() == 0);
  const auto archive = backup::Archive::Open(kArchive, &disk);
  LARDER_CHECK(archive.ok());
  const auto listed = archive->List();
  LARDER_CHECK(listed.ok());
  LARDER_CHECK(listed->size() == (stream.acknowledged() ? 1 : 0));
  if (stream.acknowledged()) LARDER_CHECK(listed->front().complete);
  // The same input again, as it comes after a lost connection.
  InputStream again(input);
  service->Transfer("peer", &again).IgnoreError();
  // It expires, and nothing is left.
  clock.AdvanceMillis(ReplicaService::Options().resume_ttl_ms);
  LARDER_CHECK(service->RemoveExpired().ok());
  LARDER_CHECK(service->GetStatus(&state).ok());
  LARDER_CHECK(state.transfers_kept() == 0);
}

}  // namespace
}  // namespace larder::replication

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::replication::CheckService(larder::tests::Input(data, size));
  return 0;
}
