#include "replication/live_l2.h"

#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/apply_dump.h"
#include "backup/format/sealed_dump.h"
#include "backup/path.h"
#include "cache/status_macros.h"
#include "replication/applied_note.h"

namespace larder::replication {
namespace {

using backup::ParentOf;
using backup::format::DumpHeader;
using backup::format::Manifest;
using cache::MutexLock;
using cache::ReplicaL2;
using cache::l2::FileLock;
using cache::l2::FileSystem;

constexpr absl::string_view kStateSuffix = ".replica";
constexpr absl::string_view kBuildingName = "building";
constexpr absl::string_view kNextName = "next";
constexpr absl::string_view kOldName = "old";
constexpr absl::string_view kIncomingName = "incoming";  // KeptDumps'.

// Only what a LiveL2 made may be moved or removed there. It makes KeptDumps'
// directories durable before any other.
absl::Status CheckStateDirectory(FileSystem* file_system,
                                 const std::string& state) {
  if (!file_system->Exists(state)) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(const auto names, file_system->List(state));
  const bool is_claimed = file_system->Exists(KeptDumps::OwnDirectory(state));
  for (const std::string& name : names) {
    if (name == kIncomingName) continue;
    if (is_claimed &&
        (name == kBuildingName || name == kNextName || name == kOldName)) {
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrCat(state, ": not a live replica's: holds ", name,
                     ": move it away, or give the L2 another name"));
  }
  return absl::OkStatus();
}

// Makes `path` and its missing parents, durably.
absl::Status MakeDirectories(FileSystem* file_system, const std::string& path) {
  std::vector<std::string> missing;
  for (std::string at = path; !file_system->Exists(at); at = ParentOf(at)) {
    missing.push_back(at);
    if (at == ".") break;
  }
  LARDER_RETURN_IF_ERROR(file_system->CreatePrivateDirectories(path));
  for (const std::string& made : missing) {
    LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(ParentOf(made)));
  }
  return absl::OkStatus();
}

absl::StatusOr<PublishedDump> Published(const Manifest& manifest) {
  LARDER_ASSIGN_OR_RETURN(const uint16_t source,
                          backup::LiveSource(manifest.header()));
  PublishedDump published;
  published.header = manifest.header();
  published.header.clear_sources();
  *published.header.add_sources() = manifest.header().sources(source);
  // They would not fit, and who makes a delta has its own.
  published.header.mutable_sources(0)->mutable_cache()->clear_ancestors();
  // What is applied is not sealed, and a delta on it may be sealed otherwise.
  published.header.clear_encryption();
  published.stream_digest = manifest.trailer().stream_digest();
  published.packs = static_cast<uint64_t>(manifest.packs_size());
  for (const auto& pack : manifest.packs()) {
    published.stored_bytes += pack.bytes();
  }
  return published;
}

// Of a note.
const backup::format::CacheInfo& CacheOf(const PublishedDump& applied) {
  return applied.header.sources(0).cache();
}

}  // namespace

std::string LiveL2::StateDirectory(absl::string_view l2_path) {
  return absl::StrCat(l2_path, kStateSuffix);
}

std::string LiveL2::Aside(absl::string_view name) const {
  return absl::StrCat(StateDirectory(options_.cache.l2_path), "/", name);
}

LiveL2::LiveL2(Options options, KeptDumps kept, std::unique_ptr<FileLock> lock)
    : options_(std::move(options)),
      file_system_(options_.cache.file_system),
      kept_(std::move(kept)),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<LiveL2>> LiveL2::Open(Options options) {
  std::string& path = options.cache.l2_path;
  path = backup::WithoutSlashes(std::move(path));
  FileSystem*& file_system = options.cache.file_system;
  if (file_system == nullptr) file_system = cache::l2::PosixFileSystem();
  const std::string state = StateDirectory(path);
  LARDER_RETURN_IF_ERROR(CheckStateDirectory(file_system, state));
  LARDER_RETURN_IF_ERROR(MakeDirectories(file_system, state));
  // Also what was made by a process that died before it came to this.
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(ParentOf(path)));
  KeptDumps kept(state, {.file_system = file_system});
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, kept.Claim());
  auto live = std::unique_ptr<LiveL2>(
      new LiveL2(std::move(options), std::move(kept), std::move(lock)));
  // First: it shows whether L2 is a replica's.
  LARDER_RETURN_IF_ERROR(live->OpenCurrent());
  LARDER_RETURN_IF_ERROR(live->RemoveAside(kBuildingName));
  LARDER_RETURN_IF_ERROR(live->Settle());
  LARDER_RETURN_IF_ERROR(live->RemoveAside(kOldName));
  LARDER_ASSIGN_OR_RETURN(const auto applied, live->Applied());
  if (applied.has_value()) {
    // A kill may have come between its commit and this.
    LARDER_RETURN_IF_ERROR(live->kept_.Discard(applied->header.snapshot_id()));
  }
  return live;
}

absl::Status LiveL2::RemoveAside(absl::string_view name) const {
  const absl::Status removed = file_system_->RemoveTree(Aside(name));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::Status LiveL2::Show(std::shared_ptr<ReplicaL2> l2) {
  auto next = std::make_shared<Current>();
  LARDER_ASSIGN_OR_RETURN(next->view, l2->View());
  LARDER_ASSIGN_OR_RETURN(next->applied, DecodeAppliedNote(l2->note()));
  next->l2 = std::move(l2);
  std::shared_ptr<const Current> last = std::move(next);
  {
    MutexLock lock(&mu_);
    current_.swap(last);
  }
  return absl::OkStatus();  // Its pin, and maybe its L2, goes with `last`.
}

absl::StatusOr<bool> LiveL2::IsAbsentOrEmpty() const {
  const std::string& path = options_.cache.l2_path;
  if (!file_system_->Exists(path)) return true;
  LARDER_ASSIGN_OR_RETURN(const auto names, file_system_->List(path));
  return names.empty();
}

absl::Status LiveL2::OpenCurrent() {
  LARDER_ASSIGN_OR_RETURN(const bool is_empty, IsAbsentOrEmpty());
  if (is_empty) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(std::shared_ptr<ReplicaL2> l2,
                          ReplicaL2::Open(options_.cache));
  return Show(std::move(l2));
}

absl::Status LiveL2::CheckReplaceable() const {
  LARDER_ASSIGN_OR_RETURN(const bool is_empty, IsAbsentOrEmpty());
  if (is_empty) return absl::OkStatus();
  const absl::Status opened = ReplicaL2::Open(options_.cache).status();
  // What this one serves, it has locked.
  return absl::IsUnavailable(opened) && current() != nullptr ? absl::OkStatus()
                                                             : opened;
}

absl::Status LiveL2::Settle() {
  const std::string& path = options_.cache.l2_path;
  if (file_system_->Exists(Aside(kNextName))) {
    LARDER_RETURN_IF_ERROR(CheckReplaceable());
    // Until the new one is shown, what is shown is not at `path` any more.
    is_swapping_ = true;
    if (file_system_->Exists(path)) {
      LARDER_RETURN_IF_ERROR(RemoveAside(kOldName));
      LARDER_RETURN_IF_ERROR(file_system_->Rename(path, Aside(kOldName)));
    }
    LARDER_RETURN_IF_ERROR(file_system_->Rename(Aside(kNextName), path));
  }
  if (!is_swapping_) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(file_system_->SyncDirectory(ParentOf(path)));
  LARDER_RETURN_IF_ERROR(file_system_->SyncDirectory(StateDirectory(path)));
  LARDER_RETURN_IF_ERROR(OpenCurrent());
  is_swapping_ = false;
  // Readers of it have its files open; what cannot go now goes with the next.
  RemoveAside(kOldName).IgnoreError();
  return absl::OkStatus();
}

std::shared_ptr<const LiveL2::Current> LiveL2::current() const {
  MutexLock lock(&mu_);
  return current_;
}

absl::StatusOr<std::optional<PublishedDump>> LiveL2::Applied() const {
  const std::shared_ptr<const Current> now = current();
  if (now == nullptr) return std::optional<PublishedDump>();
  return std::optional<PublishedDump>(now->applied);
}

bool LiveL2::TakesDeltas() const {
  MutexLock lock(&mu_);
  return current_ != nullptr && !needs_full_ && !is_swapping_ &&
         current_->l2->status().ok();
}

absl::Status LiveL2::CheckOpenable(const DumpHeader& header) const {
  if (options_.keys != nullptr && !header.has_encryption()) {
    // Or whoever can send to it could leave the seal off.
    return absl::FailedPreconditionError(absl::StrCat(
        options_.cache.l2_path, ": snapshot ", header.snapshot_id(),
        ": is in the clear, and this replica has keys: seal the backup"));
  }
  const absl::Status opened =
      backup::format::SealOf(header, options_.keys.get()).status();
  if (opened.ok()) return opened;
  return absl::Status(
      opened.code(),
      absl::StrCat(options_.cache.l2_path, ": ", opened.message(),
                   ": a live replica reads what it applies"));
}

absl::Status LiveL2::CheckAcceptable(const DumpHeader& header) const {
  LARDER_RETURN_IF_ERROR(CheckOpenable(header));
  LARDER_ASSIGN_OR_RETURN(const uint16_t source, backup::LiveSource(header));
  const backup::format::CacheInfo& incoming = header.sources(source).cache();
  if (incoming.stored_bytes() > options_.cache.l2_bytes_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        options_.cache.l2_path, ": blobs of ", incoming.stored_bytes(),
        " bytes exceed l2_bytes_max ", options_.cache.l2_bytes_max));
  }
  LARDER_ASSIGN_OR_RETURN(const std::optional<PublishedDump> applied,
                          Applied());
  const bool is_delta = incoming.base_epoch() != 0;
  if (!applied.has_value()) {
    return is_delta ? absl::FailedPreconditionError(absl::StrCat(
                          options_.cache.l2_path,
                          ": a delta, and nothing is there to build on"))
                    : absl::OkStatus();
  }
  const backup::format::CacheInfo& have = CacheOf(*applied);
  const bool same_lineage = have.lineage() == incoming.lineage();
  if (same_lineage && incoming.epoch() < have.epoch()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.cache.l2_path, ": epoch ", incoming.epoch(),
                     " vs ", have.epoch(),
                     ", which is applied: a live replica "
                     "does not go back"));
  }
  if (!is_delta) return absl::OkStatus();
  if (!TakesDeltas() || !same_lineage ||
      incoming.base_epoch() != have.epoch()) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.cache.l2_path, ": a delta on epoch ", incoming.base_epoch(),
        " vs ", have.epoch(), ", which is applied, or a full dump"));
  }
  return absl::OkStatus();
}

absl::StatusOr<PublishedDump> LiveL2::Apply(const backup::Archive& packs,
                                            const Manifest& manifest,
                                            FenceFn fence) {
  {
    MutexLock lock(&mu_);
    if (applying_) {
      return absl::UnavailableError(absl::StrCat(
          options_.cache.l2_path, ": another dump is being applied"));
    }
    applying_ = true;
  }
  const absl::Cleanup done = [this] {
    MutexLock lock(&mu_);
    applying_ = false;
  };
  LARDER_ASSIGN_OR_RETURN(const PublishedDump published, Published(manifest));
  // One that was swapped in halfway.
  LARDER_RETURN_IF_ERROR(Settle());
  LARDER_RETURN_IF_ERROR(CheckAcceptable(manifest.header()));
  // Nothing is wrong here, and a full dump would lack the same.
  LARDER_RETURN_IF_ERROR(backup::CheckNothingMissing(manifest));
  const absl::Status applied =
      ApplyLocked(packs, manifest, EncodeAppliedNote(published), fence);
  MutexLock lock(&mu_);
  // A full dump makes good whatever is wrong here.
  if (absl::IsDataLoss(applied)) needs_full_ = true;
  if (applied.ok() && CacheOf(published).base_epoch() == 0) {
    needs_full_ = false;
  }
  LARDER_RETURN_IF_ERROR(applied);
  return published;
}

absl::Status LiveL2::ApplyLocked(const backup::Archive& packs,
                                 const Manifest& manifest,
                                 const std::string& note, FenceFn fence) {
  LARDER_RETURN_IF_ERROR(fence([] { return absl::OkStatus(); }));
  LARDER_ASSIGN_OR_RETURN(const uint16_t source,
                          backup::LiveSource(manifest.header()));
  if (manifest.header().sources(source).cache().base_epoch() == 0) {
    return BuildAside(packs, manifest, note, /*base=*/nullptr, fence);
  }
  const absl::Status in_place = ApplyInPlace(packs, manifest, note);
  // In place there must be room for what goes and what comes at once.
  if (!absl::IsOutOfRange(in_place) && !absl::IsResourceExhausted(in_place)) {
    return in_place;
  }
  return BuildAside(packs, manifest, note, current()->l2.get(), fence);
}

absl::Status LiveL2::ApplyInPlace(const backup::Archive& packs,
                                  const Manifest& manifest,
                                  const std::string& note) {
  const std::shared_ptr<ReplicaL2> l2 = current()->l2;
  LARDER_RETURN_IF_ERROR(
      backup::ApplyDump(packs, manifest,
                        [&](const cache::SnapshotInfo& target) {
                          return l2->StartDelta(target, note,
                                                options_.delta_limits);
                        })
          .status());
  return Show(l2);
}

absl::Status LiveL2::BuildAside(const backup::Archive& packs,
                                const Manifest& manifest,
                                const std::string& note, const ReplicaL2* base,
                                FenceFn fence) {
  LARDER_RETURN_IF_ERROR(RemoveAside(kBuildingName));
  cache::BlobCacheOptions options = options_.cache;
  options.l2_path = Aside(kBuildingName);
  absl::Status built =
      backup::ApplyDump(
          packs, manifest,
          [&](const cache::SnapshotInfo& target)
              -> absl::StatusOr<std::unique_ptr<cache::L2Loader>> {
            LARDER_ASSIGN_OR_RETURN(
                auto loader, cache::CreateReplicaLoader(options, target, note));
            if (base != nullptr) {
              LARDER_RETURN_IF_ERROR(base->CopyTo(loader.get()));
            }
            return loader;
          })
          .status();
  // A primary of a higher term may have come while it was built.
  if (built.ok()) {
    built = fence([this] {
      return file_system_->Rename(Aside(kBuildingName), Aside(kNextName));
    });
  }
  if (!built.ok()) {
    RemoveAside(kBuildingName).IgnoreError();
    return absl::IsOutOfRange(built)
               ? absl::DataLossError(
                     absl::StrCat("dump: not applied: ", built.message()))
               : built;
  }
  LARDER_RETURN_IF_ERROR(
      file_system_->SyncDirectory(StateDirectory(options_.cache.l2_path)));
  return Settle();
}

std::shared_ptr<const cache::ReplicaView> LiveL2::View() const {
  std::shared_ptr<const Current> now = current();
  if (now == nullptr) return nullptr;
  const cache::ReplicaView* const view = now->view.get();
  return {std::move(now), view};
}

absl::StatusOr<ReplicatedView> LiveL2::Newest() const {
  const std::shared_ptr<const Current> now = current();
  if (now == nullptr) {
    return absl::UnavailableError("replica: nothing has been applied yet");
  }
  const cache::ReplicaView* const view = now->view.get();
  return ReplicatedView{
      .view = std::shared_ptr<const cache::ReplicaView>(now, view),
      .lineage = CacheOf(now->applied).lineage(),
      .epoch = CacheOf(now->applied).epoch()};
}

absl::StatusOr<cache::SnapshotInfo> LiveL2::Promote() {
  std::shared_ptr<const Current> last;
  {
    MutexLock lock(&mu_);
    last.swap(current_);
  }
  if (last == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.cache.l2_path,
                     ": no snapshot was ever applied: nothing to promote"));
  }
  const std::shared_ptr<ReplicaL2> l2 = last->l2;
  last.reset();  // With its view.
  return l2->Promote();
}

}  // namespace larder::replication
