// ReplicaL2 on an L2Store.
#include "cache/replica_l2.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/access_table.h"
#include "cache/clock.h"
#include "cache/hlc.h"
#include "cache/key_locks.h"
#include "cache/l2/l2_snapshot.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/replica_delta.h"
#include "cache/namespace_table.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr int64_t kRecordsPerRead = 256;

class View : public ReplicaView {
 public:
  View(const L2Store* store, const Clock* clock,
       std::unique_ptr<Snapshot> snapshot)
      : store_(store),
        clock_(clock),
        snapshot_(std::move(snapshot)),
        pinned_(static_cast<const PinnedSnapshot*>(snapshot_.get())),
        namespaces_(std::numeric_limits<int32_t>::max()) {}

  absl::Status Prepare() { return store_->CopyValidity(&namespaces_); }

  absl::StatusOr<std::shared_ptr<const Blob>> GetRange(
      absl::string_view ns_name, absl::string_view key, uint64_t offset,
      uint64_t length) const override {
    const Namespace* const ns = namespaces_.Find(ns_name);
    if (ns == nullptr || !ValidateKey(key).ok()) return nullptr;
    const ReaderSlots::Guard reading = pinned_->EnterPinned();
    LARDER_RETURN_IF_ERROR(pinned_->status());
    Record record;
    LARDER_ASSIGN_OR_RETURN(const bool found, pinned_->Find(*ns, key, &record));
    if (!found ||
        !store_->IsServable(*ns, key, record, clock_->NowUnixMillis())) {
      return nullptr;
    }
    return store_->Load(ns->HashOf(key), record, offset, length);
  }

  const SnapshotInfo& info() const override { return pinned_->info(); }

 private:
  const L2Store* const store_;
  const Clock* const clock_;
  const std::unique_ptr<Snapshot> snapshot_;
  const PinnedSnapshot* const pinned_;  // The same.
  NamespaceTable namespaces_;           // As of the snapshot.
};

class ReplicaL2Impl : public ReplicaL2 {
 public:
  explicit ReplicaL2Impl(const Clock* clock)
      : clock_(clock),
        namespaces_(std::numeric_limits<int32_t>::max()),
        hlc_(clock) {}

  absl::Status OpenStore(const BlobCacheOptions& options) {
    LARDER_ASSIGN_OR_RETURN(
        store_, L2Store::Open(options, {&namespaces_, &hlc_, &key_locks_,
                                        &accesses_, clock_, nullptr, nullptr}));
    if (!store_->replica_note().empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        options.l2_path,
        ": is a primary's L2, which a replica would overwrite: give a "
        "directory that is empty or absent, or move this one away"));
  }

  std::string note() const override { return store_->replica_note(); }

  absl::StatusOr<std::shared_ptr<const ReplicaView>> View() const override {
    LARDER_ASSIGN_OR_RETURN(std::unique_ptr<Snapshot> pinned,
                            store_->PinForReaders());
    auto view =
        std::make_shared<l2::View>(store_.get(), clock_, std::move(pinned));
    LARDER_RETURN_IF_ERROR(view->Prepare());
    return std::shared_ptr<const ReplicaView>(std::move(view));
  }

  absl::StatusOr<std::unique_ptr<L2Loader>> StartDelta(
      const SnapshotInfo& target, std::string note,
      const DeltaLimits& limits) override {
    LARDER_RETURN_IF_ERROR(CheckReplicaNote(note));
    LARDER_RETURN_IF_ERROR(ReclaimOnce());
    return ReplicaDelta::Start({store_.get(), &namespaces_, &hlc_, &live_then_},
                               target, std::move(note), limits);
  }

  absl::Status CopyTo(L2Loader* loader) const override {
    LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Snapshot> from,
                            store_->PinForReaders());
    Snapshot::Position position;
    std::vector<std::string> damage;
    while (!position.at_end) {
      std::vector<StoredRecord> records;
      LARDER_RETURN_IF_ERROR(
          from->Read(kRecordsPerRead, &position, &records, &damage));
      if (!damage.empty()) return absl::DataLossError(damage.front());
      for (const StoredRecord& record : records) {
        LARDER_RETURN_IF_ERROR(record.status);
        LARDER_RETURN_IF_ERROR(loader->Begin(record));
        for (size_t i = 0; i < record.frames.size(); ++i) {
          std::string frame;
          LARDER_RETURN_IF_ERROR(from->ReadFrame(record, i, &frame));
          LARDER_RETURN_IF_ERROR(loader->AppendFrame(frame));
        }
        LARDER_RETURN_IF_ERROR(loader->Finish());
      }
    }
    return absl::OkStatus();
  }

  absl::Status status() const override { return store_->usable(); }

  absl::StatusOr<SnapshotInfo> Promote() override {
    LARDER_RETURN_IF_ERROR(store_->CommitReplicated(ReplicatedState()));
    const SnapshotInfo info = store_->Info();
    LARDER_RETURN_IF_ERROR(store_->Close());
    return info;
  }

 private:
  // Chains of a delta that a killed process was about to apply.
  absl::Status ReclaimOnce() {
    while (!reclaimed_) {
      LARDER_ASSIGN_OR_RETURN(const SliceReport report,
                              store_->ReclaimOrphansSlice(SliceLimit()));
      reclaimed_ = report.done;
    }
    return absl::OkStatus();
  }

  const Clock* const clock_;
  NamespaceTable namespaces_;
  HlcClock hlc_;
  KeyLocks key_locks_;
  AccessTable accesses_;
  int64_t live_then_ = 0;
  bool reclaimed_ = false;
  std::unique_ptr<L2Store> store_;
};

}  // namespace
}  // namespace larder::cache::l2

namespace larder::cache {

absl::Status CheckReplicaNote(absl::string_view note) {
  if (!note.empty() && note.size() <= kReplicaNoteBytesMax) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "replica: note: ", note.size(), " bytes vs 1 to ", kReplicaNoteBytesMax));
}

absl::StatusOr<std::unique_ptr<ReplicaL2>> ReplicaL2::Open(
    const BlobCacheOptions& given) {
  BlobCacheOptions options = given;
  if (options.clock == nullptr) options.clock = SystemClock();
  if (options.file_system == nullptr)
    options.file_system = l2::PosixFileSystem();
  options.background_commits = false;
  options.l2_must_exist = true;
  // An Ack says that a power cut cannot undo it.
  options.durability = Durability::kInterval;
  auto replica = std::make_unique<l2::ReplicaL2Impl>(options.clock);
  LARDER_RETURN_IF_ERROR(replica->OpenStore(options));
  return std::unique_ptr<ReplicaL2>(std::move(replica));
}

}  // namespace larder::cache
