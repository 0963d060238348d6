#include "replication/archive_receiver.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/message.h"
#include "backup/partial_dump.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"
#include "replication/owner.pb.h"

namespace larder::replication {
namespace {

using backup::DirectorySink;
using backup::PartialDump;
using backup::SnapshotEntry;
using backup::format::DumpHeader;
using cache::l2::FileLock;
using cache::l2::FileSystem;

constexpr absl::string_view kOwnerName = "owner";
constexpr absl::string_view kLockName = "lock";
// Not a snapshot's id, so it is no dump's directory.
constexpr absl::string_view kOwnName = "replica.d";

PublishedDump Describe(const SnapshotEntry& entry) {
  PublishedDump published;
  published.header = entry.manifest.header();
  published.stream_digest = entry.manifest.trailer().stream_digest();
  published.stored_bytes = static_cast<uint64_t>(entry.bytes);
  published.packs = static_cast<uint64_t>(entry.manifest.packs_size());
  return published;
}

struct Place {
  std::string path;
  DirectorySink::Options options;

  std::string Directory(absl::string_view id) const {
    return PartialDump::Directory(path, id);
  }
  absl::Status WriteOwner(const DumpOwner& owner) const {
    OwnerFile file;
    file.set_peer(owner.peer);
    file.set_lineage(owner.lineage);
    file.set_header(backup::format::SerializeMessage(owner.header));
    file.set_expires_unix_ms(owner.expires_unix_ms);
    return backup::WriteSmallFile(
        options.file_system, Directory(owner.header.snapshot_id()), kOwnerName,
        backup::format::SerializeMessage(file));
  }
  absl::StatusOr<DumpOwner> ReadOwner(absl::string_view id) const {
    LARDER_ASSIGN_OR_RETURN(
        const std::string bytes,
        backup::ReadSmallFile(options.file_system, Directory(id), kOwnerName));
    OwnerFile file;
    LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(bytes, &file));
    DumpOwner owner;
    owner.peer = file.peer();
    owner.lineage = file.lineage();
    owner.expires_unix_ms = file.expires_unix_ms();
    LARDER_RETURN_IF_ERROR(
        backup::format::ParseMessage(file.header(), &owner.header));
    return owner;
  }
};

class ArchiveDump : public IncomingDump {
 public:
  ArchiveDump(Place place, DumpOwner owner, std::unique_ptr<PartialDump> dump)
      : place_(std::move(place)),
        owner_(std::move(owner)),
        dump_(std::move(dump)) {}

  const backup::DumpCheck& check() const override { return dump_->check(); }
  absl::Status Append(const backup::format::Chunk& chunk) override {
    return dump_->Append(chunk);
  }
  absl::Status Sync() override { return dump_->Sync(); }
  absl::Status SetExpiry(int64_t unix_ms) override {
    owner_.expires_unix_ms = unix_ms;
    return place_.WriteOwner(owner_);
  }
  absl::StatusOr<PublishedDump> Publish() override {
    LARDER_ASSIGN_OR_RETURN(const backup::SinkReceipt receipt,
                            dump_->Publish());
    PublishedDump published;
    published.header = check().manifest().header();
    published.stream_digest = check().manifest().trailer().stream_digest();
    published.stored_bytes = static_cast<uint64_t>(receipt.bytes_written);
    published.packs = static_cast<uint64_t>(receipt.packs);
    return published;
  }

 private:
  const Place place_;
  DumpOwner owner_;
  const std::unique_ptr<PartialDump> dump_;
};

class ArchiveReceiverImpl : public DumpReceiver {
 public:
  ArchiveReceiverImpl(Place place, std::unique_ptr<FileLock> lock)
      : place_(std::move(place)), lock_(std::move(lock)) {}

  absl::StatusOr<std::optional<DumpHeader>> Base(
      absl::string_view id) override {
    LARDER_ASSIGN_OR_RETURN(const backup::Archive archive, OpenArchive());
    if (!id.empty()) {
      const absl::Status named = archive.Find(id).status();
      if (absl::IsInvalidArgument(named)) return named;
    }
    LARDER_ASSIGN_OR_RETURN(const std::vector<SnapshotEntry> snapshots,
                            archive.List());
    absl::StatusOr<std::optional<DumpHeader>> base =
        backup::FindDeltaBase(snapshots, id);
    // What cannot be built on is no base, whatever is wrong with it.
    if (absl::IsNotFound(base.status())) return std::optional<DumpHeader>();
    return base;
  }

  absl::StatusOr<std::optional<PublishedDump>> FindPublished(
      const DumpHeader& header) override {
    LARDER_ASSIGN_OR_RETURN(const backup::Archive archive, OpenArchive());
    const absl::StatusOr<SnapshotEntry> entry =
        archive.Find(header.snapshot_id());
    if (absl::IsNotFound(entry.status())) return std::optional<PublishedDump>();
    LARDER_RETURN_IF_ERROR(entry.status());
    if (entry->manifest.header().stream_id() != header.stream_id()) {
      return absl::AlreadyExistsError(
          absl::StrCat(place_.path, ": snapshot ", header.snapshot_id(),
                       " exists, of another stream"));
    }
    return std::optional<PublishedDump>(Describe(*entry));
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Begin(
      const DumpOwner& owner) override {
    LARDER_ASSIGN_OR_RETURN(
        auto dump,
        PartialDump::Begin(place_.path, place_.options, owner.header));
    LARDER_RETURN_IF_ERROR(place_.WriteOwner(owner));
    return std::make_unique<ArchiveDump>(place_, owner, std::move(dump));
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Resume(
      const DumpOwner& owner) override {
    LARDER_ASSIGN_OR_RETURN(
        auto dump,
        PartialDump::Reopen(place_.path, place_.options, owner.header));
    return std::make_unique<ArchiveDump>(place_, owner, std::move(dump));
  }

  absl::StatusOr<std::vector<DumpOwner>> ListKept() override {
    LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                            PartialDump::List(place_.path, place_.options));
    std::vector<DumpOwner> owners;
    for (const std::string& id : ids) {
      absl::StatusOr<DumpOwner> owner = place_.ReadOwner(id);
      // Killed as it began, or damaged: nobody can go on with it.
      if (!owner.ok() || owner->header.snapshot_id() != id) {
        owner = DumpOwner();
        owner->header.set_snapshot_id(id);
      }
      owners.push_back(*std::move(owner));
    }
    return owners;
  }

  absl::Status Discard(absl::string_view id) override {
    return PartialDump::Discard(place_.path, place_.options, id);
  }

 private:
  absl::StatusOr<backup::Archive> OpenArchive() const {
    return backup::Archive::Open(place_.path, place_.options.file_system);
  }

  const Place place_;
  const std::unique_ptr<FileLock> lock_;
};

}  // namespace

std::string ArchiveReceiver::OwnDirectory(const std::string& path) {
  return PartialDump::Directory(path, kOwnName);
}

absl::StatusOr<std::unique_ptr<DumpReceiver>> ArchiveReceiver::Open(
    std::string path, DirectorySink::Options options) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (options.file_system == nullptr) {
    options.file_system = cache::l2::PosixFileSystem();
  }
  FileSystem* const file_system = options.file_system;
  LARDER_RETURN_IF_ERROR(DirectorySink::CreateArchive(path, options));
  LARDER_RETURN_IF_ERROR(
      file_system->CreatePrivateDirectories(OwnDirectory(path)));
  const std::string incoming = PartialDump::Directory(path, "");
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(path));
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(incoming));
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      file_system->Lock(absl::StrCat(OwnDirectory(path), "/", kLockName));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(
        absl::StrCat(path, ": another replica receives into this archive"));
  }
  LARDER_RETURN_IF_ERROR(lock.status());
  return std::make_unique<ArchiveReceiverImpl>(Place{std::move(path), options},
                                               *std::move(lock));
}

}  // namespace larder::replication
