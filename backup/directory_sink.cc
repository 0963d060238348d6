#include "backup/directory_sink.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/delta_base.h"
#include "backup/format/archive_file.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "backup/internal/archive_layout.h"
#include "backup/internal/chain_fold.h"
#include "backup/internal/leftovers.h"
#include "backup/internal/pack_writer.h"
#include "backup/path.h"
#include "backup/sealed_lineages.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::l2::File;
using cache::l2::FileLock;
using cache::l2::FileSystem;

class DirectorySinkImpl : public SnapshotSink {
 public:
  DirectorySinkImpl(std::string path, DirectorySink::Options options)
      : path_(std::move(path)),
        name_(absl::StrCat("dir:", path_)),
        options_(options),
        file_system_(options.file_system != nullptr
                         ? options.file_system
                         : cache::l2::PosixFileSystem()) {}
  ~DirectorySinkImpl() override { Abort(); }

  const std::string& name() const override { return name_; }
  absl::Status Begin(const format::DumpHeader& header) override;
  absl::StatusOr<std::vector<format::DumpHeader>> Bases(
      absl::string_view id) override;
  SealedLineages Sealed() const override;
  absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) override;
  absl::StatusOr<SinkReceipt> Finish(const format::Manifest& manifest) override;
  void Abort() override;
  int64_t progress() const override {
    return progress_.load(std::memory_order_relaxed);
  }

  absl::Status CreateDirectories();
  // Whether what a dump builds on is there, and is what it says.
  absl::Status CheckBase(const format::DumpHeader& header) const;
  // Between Begin() and the end of the dump, instead of chunks and Finish().
  absl::StatusOr<SinkReceipt> Adopt(const std::string& from,
                                    const format::Manifest& manifest,
                                    const std::vector<format::Pack>& packs,
                                    DirectorySink::PublishFn publish);

 private:
  absl::Status CheckDirectory() const;
  absl::Status TakeLock();
  absl::StatusOr<SinkReceipt> Publish(const format::Manifest& manifest,
                                      const std::vector<format::Pack>& packs,
                                      DirectorySink::PublishFn publish);
  absl::Status PublishManifest(const std::string& bytes,
                               DirectorySink::PublishFn publish);
  void FoldIfFull();
  // Newest first. Returns: whether all are gone.
  bool Remove(const std::vector<std::string>& paths);
  absl::Status SyncDirectory(const std::string& path) {
    return options_.sync ? file_system_->SyncDirectory(path) : absl::OkStatus();
  }

  const std::string path_;
  const std::string name_;
  const DirectorySink::Options options_;
  FileSystem* const file_system_;
  std::atomic<int64_t> progress_{0};  // Of folds, which take long.

  // Of the dump under way; the lock is held exactly as long.
  std::unique_ptr<FileLock> lock_;
  std::string snapshot_id_;
  uint64_t ordinal_ = 0;
  std::vector<SnapshotEntry> snapshots_;  // Before it; oldest first.
  std::unique_ptr<backup_internal::PackWriter> writer_;
  std::vector<std::string> created_;  // Besides packs, what Abort() removes.
};

// Errors: kFailedPrecondition when the directory holds something else.
absl::Status DirectorySinkImpl::CheckDirectory() const {
  if (!file_system_->Exists(path_) ||
      file_system_->Exists(backup_internal::ManifestsPath(path_))) {
    return absl::OkStatus();
  }
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          file_system_->List(path_));
  for (const std::string& name : names) {
    // What a backup that was killed at once leaves, and an empty disk.
    if (name != backup_internal::kPacksName && name != "lost+found") {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, ": neither empty nor an archive: holds ",
                       format::Printable(name)));
    }
  }
  return absl::OkStatus();
}

absl::Status DirectorySinkImpl::CreateDirectories() {
  LARDER_RETURN_IF_ERROR(CheckDirectory());
  LARDER_RETURN_IF_ERROR(file_system_->CreatePrivateDirectories(
      backup_internal::PacksPath(path_)));
  LARDER_RETURN_IF_ERROR(file_system_->CreatePrivateDirectories(
      backup_internal::ManifestsPath(path_)));
  LARDER_RETURN_IF_ERROR(SyncDirectory(ParentOf(path_)));
  return SyncDirectory(path_);
}

absl::Status DirectorySinkImpl::TakeLock() {
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      file_system_->Lock(backup_internal::LockPath(path_));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": another backup is writing to this archive"));
  }
  LARDER_RETURN_IF_ERROR(lock.status());
  lock_ = *std::move(lock);
  return absl::OkStatus();
}

absl::Status DirectorySinkImpl::Begin(const format::DumpHeader& header) {
  LARDER_CHECK(lock_ == nullptr);
  LARDER_RETURN_IF_ERROR(CreateDirectories());
  LARDER_RETURN_IF_ERROR(TakeLock());
  LARDER_ASSIGN_OR_RETURN(const Archive archive,
                          Archive::Open(path_, file_system_));
  LARDER_ASSIGN_OR_RETURN(snapshots_, archive.List());
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> leftovers,
                          backup_internal::FindLeftovers(archive, snapshots_));
  for (const std::string& path : leftovers) {
    LARDER_RETURN_IF_ERROR(file_system_->Remove(path));
  }
  ordinal_ = 1;
  for (const SnapshotEntry& snapshot : snapshots_) {
    ordinal_ = std::max(ordinal_, snapshot.manifest.ordinal() + 1);
  }
  if (ordinal_ > format::kOrdinalMax) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": a snapshot has the last ordinal, ",
                     format::kOrdinalMax, ": use another archive"));
  }
  snapshot_id_ = header.snapshot_id();
  if (file_system_->Exists(archive.ManifestPath(snapshot_id_))) {
    return absl::AlreadyExistsError(
        absl::StrCat(path_, ": snapshot ", snapshot_id_, " exists"));
  }
  writer_ = std::make_unique<backup_internal::PackWriter>(
      backup_internal::PackWriter::Options{
          .file_system = file_system_,
          .directory = backup_internal::PacksPath(path_),
          .snapshot_id = snapshot_id_,
          .stream_id = header.stream_id(),
          .pack_bytes = options_.pack_bytes,
          .sync = options_.sync});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<format::DumpHeader>> DirectorySinkImpl::Bases(
    absl::string_view id) {
  LARDER_CHECK(lock_ != nullptr);
  // As Begin() saw them: what it could not read has no place in a chain whose
  // ordinals grow.
  LARDER_ASSIGN_OR_RETURN(const Archive archive,
                          Archive::Open(path_, file_system_));
  absl::StatusOr<std::vector<format::DumpHeader>> bases =
      FindDeltaBases(archive, snapshots_, id);
  if (bases.ok()) return bases;
  return absl::Status(bases.status().code(),
                      absl::StrCat(path_, ": ", bases.status().message()));
}

SealedLineages DirectorySinkImpl::Sealed() const {
  LARDER_CHECK(lock_ != nullptr);
  SealedLineages sealed;
  for (const SnapshotEntry& snapshot : snapshots_) {
    if (snapshot.status.ok()) sealed.Add(snapshot.manifest.header());
  }
  return sealed;
}

absl::Status DirectorySinkImpl::Append(
    const std::shared_ptr<const format::Chunk>& chunk) {
  LARDER_CHECK(lock_ != nullptr);
  return writer_->Append(*chunk);
}

absl::Status DirectorySinkImpl::PublishManifest(
    const std::string& bytes, DirectorySink::PublishFn publish) {
  const std::string path = backup_internal::ManifestPath(path_, snapshot_id_);
  const std::string temporary =
      absl::StrCat(path, backup_internal::kTemporarySuffix);
  created_.push_back(temporary);
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<File> file,
      file_system_->Open(temporary, {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file->Resize(bytes.size()));
  LARDER_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  if (options_.sync) LARDER_RETURN_IF_ERROR(file->Sync());
  file.reset();
  return publish([&]() -> absl::Status {
    // From here on the snapshot may be seen, so an abort must start with it.
    created_.push_back(path);
    LARDER_RETURN_IF_ERROR(file_system_->Rename(temporary, path));
    return SyncDirectory(backup_internal::ManifestsPath(path_));
  });
}

absl::StatusOr<SinkReceipt> DirectorySinkImpl::Finish(
    const format::Manifest& manifest) {
  LARDER_CHECK(lock_ != nullptr);
  LARDER_RETURN_IF_ERROR(CheckBase(manifest.header()));
  LARDER_RETURN_IF_ERROR(writer_->Close());
  return Publish(manifest, writer_->packs(), DirectorySink::Always);
}

absl::StatusOr<SinkReceipt> DirectorySinkImpl::Publish(
    const format::Manifest& manifest, const std::vector<format::Pack>& packs,
    DirectorySink::PublishFn publish) {
  LARDER_RETURN_IF_ERROR(SyncDirectory(backup_internal::PacksPath(path_)));
  format::Manifest complete = manifest;
  complete.set_ordinal(ordinal_);
  SinkReceipt receipt;
  for (const format::Pack& pack : packs) {
    *complete.add_packs() = pack;
    receipt.bytes_written += static_cast<int64_t>(pack.bytes());
    ++receipt.packs;
  }
  const std::string bytes = format::EncodeManifest(complete);
  if (bytes.size() > format::kManifestBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": manifest of ", bytes.size(), " bytes exceeds ",
                     format::kManifestBytesMax));
  }
  LARDER_RETURN_IF_ERROR(PublishManifest(bytes, publish));
  receipt.bytes_written += static_cast<int64_t>(bytes.size());
  created_.clear();
  FoldIfFull();
  snapshots_.clear();
  writer_.reset();
  lock_.reset();
  return receipt;
}

absl::Status DirectorySinkImpl::CheckBase(
    const format::DumpHeader& header) const {
  const std::string& id = header.base_snapshot_id();
  if (id.empty()) return absl::OkStatus();
  const auto base =
      std::find_if(snapshots_.begin(), snapshots_.end(),
                   [&id](const SnapshotEntry& snapshot) {
                     return snapshot.complete && snapshot.id == id;
                   });
  if (base == snapshots_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": snapshot ", id, ", which snapshot ",
                     snapshot_id_, " builds on, is not there any more"));
  }
  for (const format::SourceInfo& source : header.sources()) {
    if (source.cache().base_epoch() == 0) continue;
    const auto& held = base->manifest.header().sources();
    const auto same =
        std::find_if(held.begin(), held.end(), [&](const auto& other) {
          return other.name() == source.name() &&
                 other.cache().lineage() == source.cache().lineage() &&
                 other.cache().epoch() == source.cache().base_epoch();
        });
    if (same == held.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          path_, ": source ", source.name(), " of snapshot ", snapshot_id_,
          " builds on epoch ", source.cache().base_epoch(), " of lineage ",
          format::Printable(source.cache().lineage()), ", which snapshot ", id,
          " is not of"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SinkReceipt> DirectorySinkImpl::Adopt(
    const std::string& from, const format::Manifest& manifest,
    const std::vector<format::Pack>& packs, DirectorySink::PublishFn publish) {
  const auto inside = [this](const format::Pack& pack) {
    return backup_internal::PackPath(path_, pack.name());
  };
  const auto outside = [&from](const format::Pack& pack) {
    return absl::StrCat(from, "/", pack.name());
  };
  absl::Status moved;
  size_t count = 0;
  while (moved.ok() && count < packs.size()) {
    moved = file_system_->Rename(outside(packs[count]), inside(packs[count]));
    if (moved.ok()) ++count;
  }
  const absl::StatusOr<SinkReceipt> receipt =
      moved.ok() ? Publish(manifest, packs, publish)
                 : absl::StatusOr<SinkReceipt>(moved);
  // What a manifest may name stays; else all goes back, to be adopted again.
  if (!receipt.ok() && Remove(created_)) {
    while (count-- > 0) {
      file_system_->Rename(inside(packs[count]), outside(packs[count]))
          .IgnoreError();
    }
  }
  return receipt;
}

// So that the next backup can be a delta again. The dump is safe already: what
// goes wrong here costs a full dump next time, and packs that are leftovers.
void DirectorySinkImpl::FoldIfFull() {
  const absl::StatusOr<Archive> archive = Archive::Open(path_, file_system_);
  if (!archive.ok()) return;
  const absl::StatusOr<SnapshotEntry> entry = archive->Find(snapshot_id_);
  if (!entry.ok() || !entry->complete ||
      entry->deltas < format::kDeltasPerChainMax) {
    return;
  }
  const auto chain = archive->Chain(*entry);
  if (!chain.ok()) return;
  const absl::StatusOr<std::string> manifest =
      backup_internal::FoldChain(*archive, *chain,
                                 {.pack_bytes = options_.pack_bytes,
                                  .sync = options_.sync,
                                  .progress = &progress_});
  if (manifest.ok()) {
    PublishManifest(*manifest, DirectorySink::Always).IgnoreError();
  }
  // It takes the place of one that Abort() must not remove.
  created_.clear();
}

bool DirectorySinkImpl::Remove(const std::vector<std::string>& paths) {
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    if (file_system_->Exists(*path) && !file_system_->Remove(*path).ok()) {
      return false;
    }
  }
  return true;
}

void DirectorySinkImpl::Abort() {
  // A manifest goes before the packs that it names, or they stay too. Without
  // it they are leftovers for the next backup.
  if (Remove(created_) && writer_ != nullptr) Remove(writer_->paths());
  created_.clear();
  snapshots_.clear();
  writer_.reset();
  lock_.reset();
}

}  // namespace

std::unique_ptr<SnapshotSink> DirectorySink::Create(std::string path,
                                                    Options options) {
  return std::make_unique<DirectorySinkImpl>(WithoutSlashes(std::move(path)),
                                             options);
}

absl::Status DirectorySink::CreateArchive(std::string path, Options options) {
  return DirectorySinkImpl(WithoutSlashes(std::move(path)), options)
      .CreateDirectories();
}

absl::StatusOr<SinkReceipt> DirectorySink::Adopt(
    std::string path, Options options, const std::string& from,
    const format::Manifest& manifest, const std::vector<format::Pack>& packs,
    PublishFn publish) {
  // What no reader would take must not be listed.
  format::Manifest complete = manifest;
  complete.set_ordinal(1);
  for (const format::Pack& pack : packs) *complete.add_packs() = pack;
  LARDER_RETURN_IF_ERROR(
      format::DecodeManifest(format::EncodeManifest(complete)).status());
  DirectorySinkImpl sink(WithoutSlashes(std::move(path)), options);
  LARDER_RETURN_IF_ERROR(sink.Begin(manifest.header()));
  LARDER_RETURN_IF_ERROR(sink.CheckBase(manifest.header()));
  return sink.Adopt(from, manifest, packs, publish);
}

}  // namespace larder::backup
