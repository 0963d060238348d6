#include "backup/directory_sink.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "backup/internal/archive_layout.h"
#include "backup/internal/leftovers.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::l2::File;
using cache::l2::FileLock;
using cache::l2::FileSystem;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

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
  absl::StatusOr<std::optional<format::DumpHeader>> Base(
      absl::string_view id) override;
  absl::Status Append(
      const std::shared_ptr<const format::Chunk>& chunk) override;
  absl::StatusOr<SinkReceipt> Finish(const format::Manifest& manifest) override;
  void Abort() override;

 private:
  absl::Status CheckDirectory() const;
  absl::Status PrepareDirectory();
  absl::Status OpenPack(uint64_t first_sequence);
  absl::Status Write(absl::string_view bytes);
  absl::Status ClosePack();
  absl::Status PublishManifest(const std::string& bytes);
  absl::Status SyncDirectory(const std::string& path) {
    return options_.sync ? file_system_->SyncDirectory(path) : absl::OkStatus();
  }

  const std::string path_;
  const std::string name_;
  const DirectorySink::Options options_;
  FileSystem* const file_system_;

  // Of the dump under way; the lock is held exactly as long.
  std::unique_ptr<FileLock> lock_;
  std::string snapshot_id_;
  uint64_t stream_id_ = 0;
  uint64_t ordinal_ = 0;
  std::vector<SnapshotEntry> snapshots_;  // Before it; oldest first.
  std::vector<format::Pack> packs_;  // Finished ones, and the one in `file_`.
  std::unique_ptr<File> file_;
  format::StreamingChecksum128 checksum_;  // Of `file_`.
  std::vector<std::string> created_;       // What Abort() removes.
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

absl::Status DirectorySinkImpl::PrepareDirectory() {
  LARDER_RETURN_IF_ERROR(CheckDirectory());
  LARDER_RETURN_IF_ERROR(file_system_->CreatePrivateDirectories(
      backup_internal::PacksPath(path_)));
  LARDER_RETURN_IF_ERROR(file_system_->CreatePrivateDirectories(
      backup_internal::ManifestsPath(path_)));
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      file_system_->Lock(backup_internal::LockPath(path_));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": another backup is writing to this archive"));
  }
  LARDER_RETURN_IF_ERROR(lock.status());
  lock_ = *std::move(lock);
  LARDER_RETURN_IF_ERROR(SyncDirectory(ParentOf(path_)));
  return SyncDirectory(path_);
}

absl::Status DirectorySinkImpl::Begin(const format::DumpHeader& header) {
  LARDER_CHECK(lock_ == nullptr);
  LARDER_RETURN_IF_ERROR(PrepareDirectory());
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
  stream_id_ = header.stream_id();
  if (file_system_->Exists(archive.ManifestPath(snapshot_id_))) {
    return absl::AlreadyExistsError(
        absl::StrCat(path_, ": snapshot ", snapshot_id_, " exists"));
  }
  return absl::OkStatus();
}

// The header of a dump that a delta can build on, without sources that failed.
std::optional<format::DumpHeader> AsBase(const SnapshotEntry& entry) {
  if (!entry.complete || entry.deltas >= format::kDeltasPerChainMax) {
    return std::nullopt;
  }
  format::DumpHeader base = entry.manifest.header();
  base.clear_sources();
  bool has_blobs = false;
  for (int i = 0; i < entry.manifest.header().sources_size(); ++i) {
    if (entry.manifest.trailer().sources(i).status_code() != 0) continue;
    const format::SourceInfo& source = entry.manifest.header().sources(i);
    has_blobs = has_blobs || source.cache().blobs_included();
    *base.add_sources() = source;
  }
  if (!has_blobs) return std::nullopt;
  return base;
}

absl::StatusOr<std::optional<format::DumpHeader>> DirectorySinkImpl::Base(
    absl::string_view id) {
  LARDER_CHECK(lock_ != nullptr);
  // As Begin() saw them: what it could not read has no place in a chain whose
  // ordinals grow.
  for (auto it = snapshots_.rbegin(); it != snapshots_.rend(); ++it) {
    if (!it->status.ok() || (!id.empty() && it->id != id)) continue;
    std::optional<format::DumpHeader> base = AsBase(*it);
    if (base.has_value()) return base;
    if (!id.empty()) {
      return absl::NotFoundError(absl::StrCat(
          path_, ": snapshot ", id, ": cannot be built on: ",
          it->complete
              ? absl::StrCat("it has no blobs, or ", format::kDeltasPerChainMax,
                             " deltas below it")
              : it->incomplete_reason));
    }
    // The newest one decides: on an older one a delta grows.
    if (it->complete && it->deltas >= format::kDeltasPerChainMax) break;
  }
  if (id.empty()) return std::nullopt;
  return absl::NotFoundError(
      absl::StrCat(path_, ": snapshot ", id, " does not exist"));
}

absl::Status DirectorySinkImpl::OpenPack(uint64_t first_sequence) {
  if (static_cast<int64_t>(packs_.size()) >= format::kPacksMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        path_, ": dump needs more than ", format::kPacksMax, " packs"));
  }
  format::Pack pack;
  const uint32_t index = static_cast<uint32_t>(packs_.size());
  pack.set_name(format::PackName(snapshot_id_, index));
  pack.set_first_sequence(first_sequence);
  const std::string path = backup_internal::PackPath(path_, pack.name());
  created_.push_back(path);
  LARDER_ASSIGN_OR_RETURN(
      file_, file_system_->Open(path, {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file_->Resize(0));
  packs_.push_back(std::move(pack));
  checksum_.Reset();
  return Write(format::EncodePackHead({.index = index,
                                       .stream_id = stream_id_,
                                       .first_sequence = first_sequence}));
}

absl::Status DirectorySinkImpl::Write(absl::string_view bytes) {
  format::Pack& pack = packs_.back();
  const uint64_t offset = pack.bytes();
  LARDER_RETURN_IF_ERROR(file_->Resize(offset + bytes.size()));
  LARDER_RETURN_IF_ERROR(file_->WriteAt(offset, bytes));
  checksum_.Update(bytes);
  pack.set_bytes(offset + bytes.size());
  return absl::OkStatus();
}

absl::Status DirectorySinkImpl::ClosePack() {
  if (file_ == nullptr) return absl::OkStatus();
  if (options_.sync) LARDER_RETURN_IF_ERROR(file_->Sync());
  file_.reset();
  packs_.back().set_checksum(format::EncodeUint128(checksum_.Digest()));
  return absl::OkStatus();
}

absl::Status DirectorySinkImpl::Append(
    const std::shared_ptr<const format::Chunk>& chunk) {
  LARDER_CHECK(lock_ != nullptr);
  if (file_ != nullptr &&
      static_cast<int64_t>(packs_.back().bytes() + chunk->bytes.size()) >
          options_.pack_bytes &&
      packs_.back().chunks() > 0) {
    LARDER_RETURN_IF_ERROR(ClosePack());
  }
  if (file_ == nullptr) {
    LARDER_RETURN_IF_ERROR(OpenPack(chunk->header.sequence));
  }
  LARDER_RETURN_IF_ERROR(Write(chunk->bytes));
  packs_.back().set_chunks(packs_.back().chunks() + 1);
  return absl::OkStatus();
}

absl::Status DirectorySinkImpl::PublishManifest(const std::string& bytes) {
  const std::string path = backup_internal::ManifestPath(path_, snapshot_id_);
  const std::string temporary =
      absl::StrCat(path, backup_internal::kTemporarySuffix);
  created_.push_back(temporary);
  LARDER_ASSIGN_OR_RETURN(
      file_,
      file_system_->Open(temporary, {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file_->Resize(bytes.size()));
  LARDER_RETURN_IF_ERROR(file_->WriteAt(0, bytes));
  if (options_.sync) LARDER_RETURN_IF_ERROR(file_->Sync());
  file_.reset();
  // From here on the snapshot may be seen, so an abort must start with it.
  created_.push_back(path);
  LARDER_RETURN_IF_ERROR(file_system_->Rename(temporary, path));
  return SyncDirectory(backup_internal::ManifestsPath(path_));
}

absl::StatusOr<SinkReceipt> DirectorySinkImpl::Finish(
    const format::Manifest& manifest) {
  LARDER_CHECK(lock_ != nullptr);
  LARDER_RETURN_IF_ERROR(ClosePack());
  LARDER_RETURN_IF_ERROR(SyncDirectory(backup_internal::PacksPath(path_)));
  format::Manifest complete = manifest;
  complete.set_ordinal(ordinal_);
  SinkReceipt receipt;
  for (const format::Pack& pack : packs_) {
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
  LARDER_RETURN_IF_ERROR(PublishManifest(bytes));
  receipt.bytes_written += static_cast<int64_t>(bytes.size());
  created_.clear();
  packs_.clear();
  snapshots_.clear();
  lock_.reset();
  return receipt;
}

void DirectorySinkImpl::Abort() {
  file_.reset();
  // Newest first: a manifest goes before the packs that it names, or they stay
  // too. Without it they are leftovers for the next backup.
  for (auto path = created_.rbegin(); path != created_.rend(); ++path) {
    if (file_system_->Exists(*path) && !file_system_->Remove(*path).ok()) break;
  }
  created_.clear();
  packs_.clear();
  snapshots_.clear();
  lock_.reset();
}

}  // namespace

std::unique_ptr<SnapshotSink> DirectorySink::Create(std::string path,
                                                    Options options) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return std::make_unique<DirectorySinkImpl>(std::move(path), options);
}

}  // namespace larder::backup
