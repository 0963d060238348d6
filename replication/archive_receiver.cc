#include "replication/archive_receiver.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/delta_base.h"
#include "backup/format/dump.pb.h"
#include "backup/partial_dump.h"
#include "backup/path.h"
#include "cache/status_macros.h"
#include "replication/kept_dumps.h"

namespace larder::replication {
namespace {

using backup::DirectorySink;
using backup::PartialDump;
using backup::SnapshotEntry;
using backup::format::DumpHeader;
using backup::format::Manifest;
using backup::format::Stream;
using cache::l2::FileLock;

// The stream that it came by, which is another one than it is since a fold.
Stream CameBy(const Manifest& manifest) {
  if (manifest.has_folded_from()) return manifest.folded_from();
  Stream stream;
  stream.set_id(manifest.header().stream_id());
  stream.set_digest(manifest.trailer().stream_digest());
  return stream;
}

PublishedDump Describe(const SnapshotEntry& entry) {
  PublishedDump published;
  published.header = entry.manifest.header();
  published.stream_digest = CameBy(entry.manifest).digest();
  published.stored_bytes = static_cast<uint64_t>(entry.bytes);
  published.packs = static_cast<uint64_t>(entry.manifest.packs_size());
  return published;
}

class ArchiveDump : public IncomingDump {
 public:
  ArchiveDump(const KeptDumps* kept, DumpOwner owner,
              std::unique_ptr<PartialDump> dump)
      : kept_(kept), owner_(std::move(owner)), dump_(std::move(dump)) {}

  const backup::DumpCheck& check() const override { return dump_->check(); }
  absl::Status Append(const backup::format::Chunk& chunk) override {
    return dump_->Append(chunk);
  }
  absl::Status Sync() override { return dump_->Sync(); }
  absl::Status SetExpiry(int64_t unix_ms) override {
    owner_.expires_unix_ms = unix_ms;
    return kept_->WriteOwner(owner_);
  }
  absl::StatusOr<PublishedDump> Publish(FenceFn fence) override {
    LARDER_ASSIGN_OR_RETURN(const backup::SinkReceipt receipt,
                            dump_->Publish(fence));
    PublishedDump published;
    published.header = check().manifest().header();
    published.stream_digest = check().manifest().trailer().stream_digest();
    published.stored_bytes = static_cast<uint64_t>(receipt.bytes_written);
    published.packs = static_cast<uint64_t>(receipt.packs);
    return published;
  }

 private:
  const KeptDumps* const kept_;  // The receiver's.
  DumpOwner owner_;
  const std::unique_ptr<PartialDump> dump_;
};

class ArchiveReceiverImpl : public DumpReceiver {
 public:
  ArchiveReceiverImpl(KeptDumps kept, std::unique_ptr<FileLock> lock)
      : kept_(std::move(kept)), lock_(std::move(lock)) {}

  absl::StatusOr<std::optional<DumpHeader>> Base(
      absl::string_view lineage, absl::string_view id) override {
    LARDER_ASSIGN_OR_RETURN(const backup::Archive archive, OpenArchive());
    if (!id.empty()) {
      const absl::Status named = archive.Find(id).status();
      if (absl::IsInvalidArgument(named)) return named;
    }
    LARDER_ASSIGN_OR_RETURN(const std::vector<SnapshotEntry> snapshots,
                            archive.List());
    absl::StatusOr<std::vector<DumpHeader>> bases =
        backup::FindDeltaBases(archive, snapshots, id);
    // What cannot be built on is no base, whatever is wrong with it.
    if (absl::IsNotFound(bases.status())) return std::optional<DumpHeader>();
    LARDER_RETURN_IF_ERROR(bases.status());
    for (DumpHeader& base : *bases) {
      for (const backup::format::SourceInfo& source : base.sources()) {
        if (source.cache().lineage() == lineage) return std::move(base);
      }
    }
    if (bases->empty()) return std::optional<DumpHeader>();
    return std::move(bases->front());
  }

  absl::StatusOr<std::optional<PublishedDump>> FindPublished(
      const DumpHeader& header) override {
    LARDER_ASSIGN_OR_RETURN(const backup::Archive archive, OpenArchive());
    const absl::StatusOr<SnapshotEntry> entry =
        archive.Find(header.snapshot_id());
    if (absl::IsNotFound(entry.status())) return std::optional<PublishedDump>();
    LARDER_RETURN_IF_ERROR(entry.status());
    if (CameBy(entry->manifest).id() != header.stream_id()) {
      return absl::AlreadyExistsError(
          absl::StrCat(kept_.place(), ": snapshot ", header.snapshot_id(),
                       " exists, of another stream"));
    }
    return std::optional<PublishedDump>(Describe(*entry));
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Begin(
      const DumpOwner& owner) override {
    LARDER_ASSIGN_OR_RETURN(auto dump, kept_.Begin(owner));
    return std::make_unique<ArchiveDump>(&kept_, owner, std::move(dump));
  }

  absl::StatusOr<std::unique_ptr<IncomingDump>> Resume(
      const DumpOwner& owner) override {
    LARDER_ASSIGN_OR_RETURN(auto dump, kept_.Resume(owner));
    return std::make_unique<ArchiveDump>(&kept_, owner, std::move(dump));
  }

  absl::StatusOr<std::vector<DumpOwner>> ListKept() override {
    return kept_.ListKept();
  }

  absl::Status Discard(absl::string_view id) override {
    return kept_.Discard(id);
  }

 private:
  absl::StatusOr<backup::Archive> OpenArchive() const {
    return backup::Archive::Open(kept_.place(), kept_.file_system());
  }

  const KeptDumps kept_;
  const std::unique_ptr<FileLock> lock_;
};

}  // namespace

std::string ArchiveReceiver::OwnDirectory(const std::string& path) {
  return KeptDumps::OwnDirectory(path);
}

absl::StatusOr<std::unique_ptr<DumpReceiver>> ArchiveReceiver::Open(
    std::string path, DirectorySink::Options options) {
  path = backup::WithoutSlashes(std::move(path));
  if (options.file_system == nullptr) {
    options.file_system = cache::l2::PosixFileSystem();
  }
  LARDER_RETURN_IF_ERROR(DirectorySink::CreateArchive(path, options));
  KeptDumps kept(std::move(path), options);
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, kept.Claim());
  return std::make_unique<ArchiveReceiverImpl>(std::move(kept),
                                               std::move(lock));
}

}  // namespace larder::replication
