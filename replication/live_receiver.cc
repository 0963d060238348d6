#include "replication/live_receiver.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/archive_file.h"
#include "backup/format/dump.pb.h"
#include "backup/format/names.h"
#include "backup/partial_dump.h"
#include "cache/status_macros.h"

namespace larder::replication {
namespace {

using backup::format::DumpHeader;

class LiveDump : public IncomingDump {
 public:
  LiveDump(LiveL2* live, DumpOwner owner,
           std::unique_ptr<backup::PartialDump> dump)
      : live_(live), owner_(std::move(owner)), dump_(std::move(dump)) {}

  const backup::DumpCheck& check() const override { return dump_->check(); }
  absl::Status Append(const backup::format::Chunk& chunk) override {
    const bool is_first = dump_->check().header() == nullptr;
    LARDER_RETURN_IF_ERROR(dump_->Append(chunk));
    // Before all the rest of it is sent.
    return is_first ? live_->CheckAcceptable(*dump_->check().header())
                    : absl::OkStatus();
  }
  absl::Status Sync() override { return dump_->Sync(); }
  absl::Status SetExpiry(int64_t unix_ms) override {
    owner_.expires_unix_ms = unix_ms;
    return live_->kept().WriteOwner(owner_);
  }
  absl::StatusOr<PublishedDump> Publish(FenceFn fence) override {
    LARDER_ASSIGN_OR_RETURN(const backup::format::Manifest manifest,
                            dump_->Complete());
    const std::string& id = manifest.header().snapshot_id();
    LARDER_ASSIGN_OR_RETURN(
        const PublishedDump published,
        live_->Apply(backup::Archive::OfPacks(live_->kept().Directory(id),
                                              live_->kept().file_system(),
                                              live_->keys()),
                     manifest, fence));
    // It is applied already; what stays is discarded when it expires.
    live_->kept().Discard(id).IgnoreError();
    return published;
  }

 private:
  LiveL2* const live_;
  DumpOwner owner_;
  const std::unique_ptr<backup::PartialDump> dump_;
};

class LiveReceiver : public DumpReceiver {
 public:
  explicit LiveReceiver(LiveL2* live) : live_(live) {}

  absl::StatusOr<std::optional<DumpHeader>> Base(
      absl::string_view /*lineage*/, absl::string_view id) override {
    if (!id.empty() && !backup::format::IsSnapshotId(id)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "snapshot id: '", backup::format::Printable(id), "' is none"));
    }
    LARDER_ASSIGN_OR_RETURN(std::optional<PublishedDump> applied,
                            live_->Applied());
    if (!applied.has_value() || !live_->TakesDeltas() ||
        (!id.empty() && applied->header.snapshot_id() != id)) {
      return std::optional<DumpHeader>();
    }
    return std::optional<DumpHeader>(std::move(applied->header));
  }

  absl::StatusOr<std::optional<PublishedDump>> FindPublished(
      const DumpHeader& header) override {
    LARDER_ASSIGN_OR_RETURN(std::optional<PublishedDump> applied,
                            live_->Applied());
    if (!applied.has_value() ||
        applied->header.snapshot_id() != header.snapshot_id()) {
      return std::optional<PublishedDump>();
    }
    if (applied->header.stream_id() != header.stream_id()) {
      return absl::AlreadyExistsError(absl::StrCat(
          "snapshot ", header.snapshot_id(), " is applied, of another stream"));
    }
    return applied;
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Begin(
      const DumpOwner& owner) override {
    // Before anything of it is sent.
    LARDER_RETURN_IF_ERROR(live_->CheckOpenable(owner.header));
    LARDER_ASSIGN_OR_RETURN(auto dump, live_->kept().Begin(owner));
    return std::make_unique<LiveDump>(live_, owner, std::move(dump));
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Resume(
      const DumpOwner& owner) override {
    LARDER_RETURN_IF_ERROR(live_->CheckOpenable(owner.header));
    LARDER_ASSIGN_OR_RETURN(auto dump, live_->kept().Resume(owner));
    return std::make_unique<LiveDump>(live_, owner, std::move(dump));
  }

  absl::StatusOr<std::vector<DumpOwner>> ListKept() override {
    return live_->kept().ListKept();
  }

  absl::Status Discard(absl::string_view id) override {
    return live_->kept().Discard(id);
  }

 private:
  LiveL2* const live_;
};

}  // namespace

std::unique_ptr<DumpReceiver> MakeLiveReceiver(LiveL2* live) {
  return std::make_unique<LiveReceiver>(live);
}

}  // namespace larder::replication
