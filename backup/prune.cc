#include "backup/prune.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "backup/format/archive_file.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/archive_layout.h"
#include "backup/internal/lease.h"
#include "backup/internal/leftovers.h"
#include "backup/verification.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::LeaseHeld;
using backup_internal::LeasesHeld;
using backup_internal::Pruning;
using cache::l2::FileLock;

// Errors: kFailedPrecondition.
absl::Status CheckAllReadable(const Archive& archive,
                              const std::vector<SnapshotEntry>& snapshots) {
  for (const SnapshotEntry& entry : snapshots) {
    if (entry.status.ok()) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        archive.path(), ": nothing is pruned: what snapshot ", entry.id,
        " builds on is not known: ", entry.status.message()));
  }
  return absl::OkStatus();
}

std::string WhyLeased(const LeaseHeld& held, absl::TimeZone zone) {
  if (held.holder.empty()) return "being read";
  return absl::StrCat(
      "held for ", held.holder, " until ",
      absl::FormatTime("%Y-%m-%d %H:%M",
                       absl::FromUnixMillis(held.expires_unix_ms), zone));
}

class PruneRun {
 public:
  PruneRun(const Archive& archive, const PruneOptions& options)
      : archive_(archive),
        options_(options),
        clock_(options.clock != nullptr ? options.clock
                                        : cache::SystemClock()) {}

  absl::Status Run();
  PruneReport Take() { return std::move(report_); }

 private:
  absl::Status Lock();
  void FindDamaged();
  // From `report_.snapshots` and the leases that were seen so far.
  absl::Status Decide();
  std::vector<std::string> Going() const;
  void CountWhatGoes(const std::vector<std::string>& leftovers);
  absl::Status RemoveManifests();
  absl::Status RemovePacks();
  absl::Status RemoveVerdicts();

  const Archive& archive_;
  const PruneOptions& options_;
  cache::Clock* const clock_;
  std::unique_ptr<FileLock> lock_;
  absl::flat_hash_set<std::string> damaged_;              // IDs.
  absl::flat_hash_map<std::string, std::string> leased_;  // Why, by ID.
  PruneReport report_;
};

absl::Status PruneRun::Lock() {
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      archive_.file_system()->Lock(backup_internal::LockPath(archive_.path()));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(
        archive_.path(), ": a backup or another prune holds this archive"));
  }
  LARDER_RETURN_IF_ERROR(lock.status());
  lock_ = *std::move(lock);
  return absl::OkStatus();
}

void PruneRun::FindDamaged() {
  KnownDamage damage(archive_, report_.snapshots);
  for (const SnapshotEntry& entry : report_.snapshots) {
    if (damage.Of(entry)) damaged_.insert(entry.id);
  }
}

absl::Status PruneRun::Decide() {
  LARDER_ASSIGN_OR_RETURN(
      const LeasesHeld found,
      backup_internal::FindLeases(archive_, clock_->NowUnixMillis()));
  // What was leased before and is no longer was not announced.
  for (const auto& [id, held] : found) {
    leased_.try_emplace(id, WhyLeased(held, options_.zone));
  }
  report_.decisions = DecideRetention(report_.snapshots, options_.policy,
                                      leased_, damaged_, options_.zone);
  return absl::OkStatus();
}

std::vector<std::string> PruneRun::Going() const {
  std::vector<std::string> ids;
  for (const RetentionDecision& decision : report_.decisions) {
    if (!decision.keep()) ids.push_back(decision.id);
  }
  return ids;
}

void PruneRun::CountWhatGoes(const std::vector<std::string>& leftovers) {
  absl::flat_hash_set<std::string> named;
  absl::flat_hash_map<std::string, int64_t> going;
  for (size_t i = 0; i < report_.snapshots.size(); ++i) {
    const format::Manifest& manifest = report_.snapshots[i].manifest;
    const bool keep = report_.decisions[i].keep();
    int64_t manifest_bytes = report_.snapshots[i].bytes;
    for (const format::Pack& pack : manifest.packs()) {
      manifest_bytes -= static_cast<int64_t>(pack.bytes());
    }
    if (!keep) {
      ++report_.snapshots_removed;
      report_.bytes_removed += manifest_bytes;
    }
    for (const auto* packs : {&manifest.packs(), &manifest.references()}) {
      for (const format::Pack& pack : *packs) {
        if (keep) {
          named.insert(archive_.PackPath(pack.name()));
        } else {
          going[archive_.PackPath(pack.name())] =
              static_cast<int64_t>(pack.bytes());
        }
      }
    }
  }
  for (const std::string& path : leftovers) going.try_emplace(path, 0);
  for (const auto& [path, bytes] : going) {
    if (named.contains(path)) continue;
    ++report_.packs_removed;
    report_.bytes_removed += bytes;
  }
}

absl::Status PruneRun::RemoveManifests() {
  // By their place in a chain. A removal may be undone by a power cut until it
  // is synced, and what it stood on be gone by then.
  std::map<int, std::vector<std::string>, std::greater<>> waves;
  for (size_t i = 0; i < report_.snapshots.size(); ++i) {
    if (report_.decisions[i].keep()) continue;
    waves[report_.snapshots[i].deltas].push_back(report_.snapshots[i].id);
  }
  for (const auto& [deltas, ids] : waves) {
    for (const std::string& id : ids) {
      LARDER_RETURN_IF_ERROR(
          archive_.file_system()->Remove(archive_.ManifestPath(id)));
    }
    LARDER_RETURN_IF_ERROR(archive_.file_system()->SyncDirectory(
        backup_internal::ManifestsPath(archive_.path())));
  }
  return absl::OkStatus();
}

absl::Status PruneRun::RemovePacks() {
  LARDER_ASSIGN_OR_RETURN(const std::vector<SnapshotEntry> left,
                          archive_.List());
  LARDER_RETURN_IF_ERROR(CheckAllReadable(archive_, left));
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> leftovers,
                          backup_internal::FindLeftovers(archive_, left));
  for (const std::string& path : leftovers) {
    LARDER_RETURN_IF_ERROR(archive_.file_system()->Remove(path));
  }
  return archive_.file_system()->SyncDirectory(
      backup_internal::PacksPath(archive_.path()));
}

absl::Status PruneRun::RemoveVerdicts() {
  const std::string directory = backup_internal::VerifiedPath(archive_.path());
  const auto names = archive_.file_system()->List(directory);
  if (!names.ok() && !absl::IsNotFound(names.status())) return names.status();
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> packs,
                          archive_.file_system()->List(
                              backup_internal::PacksPath(archive_.path())));
  // What was found of packs stays as long as a fold refers to them.
  absl::flat_hash_set<std::string> owners;
  std::string owner;
  for (const std::string& pack : packs) {
    if (format::ParsePackName(pack, &owner)) owners.insert(owner);
  }
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (archive_.file_system()->Exists(archive_.ManifestPath(name)) ||
        owners.contains(name)) {
      continue;
    }
    LARDER_RETURN_IF_ERROR(
        archive_.file_system()->Remove(absl::StrCat(directory, "/", name)));
  }
  return absl::OkStatus();
}

absl::Status PruneRun::Run() {
  if (options_.confirm) LARDER_RETURN_IF_ERROR(Lock());
  LARDER_ASSIGN_OR_RETURN(report_.snapshots, archive_.List());
  LARDER_RETURN_IF_ERROR(CheckAllReadable(archive_, report_.snapshots));
  FindDamaged();
  LARDER_RETURN_IF_ERROR(Decide());
  std::unique_ptr<Pruning> announced;
  if (options_.confirm && !Going().empty()) {
    LARDER_ASSIGN_OR_RETURN(announced, Pruning::Announce(&archive_, Going()));
    // Who took a lease before it could see that counts; who does later, sees
    // it. More may stay now, and never less.
    LARDER_RETURN_IF_ERROR(Decide());
  }
  std::vector<std::string> leftovers;
  if (options_.confirm || !backup_internal::BackupIsRunning(archive_)) {
    LARDER_ASSIGN_OR_RETURN(
        leftovers, backup_internal::FindLeftovers(archive_, report_.snapshots));
  }
  CountWhatGoes(leftovers);
  if (!options_.confirm) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(RemoveManifests());
  announced.reset();
  LARDER_RETURN_IF_ERROR(RemovePacks());
  LARDER_RETURN_IF_ERROR(RemoveVerdicts());
  return backup_internal::RemoveExpiredLeases(archive_,
                                              clock_->NowUnixMillis());
}

}  // namespace

absl::StatusOr<PruneReport> Prune(const Archive& archive,
                                  const PruneOptions& options) {
  PruneRun run(archive, options);
  LARDER_RETURN_IF_ERROR(run.Run());
  return run.Take();
}

}  // namespace larder::backup
