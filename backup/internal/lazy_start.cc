#include "backup/internal/lazy_start.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "backup/format/record_codec.h"
#include "backup/internal/hydration_files.h"
#include "backup/internal/lease.h"
#include "backup/internal/lineage_invalidations.h"
#include "backup/internal/restore_sources.h"
#include "backup/internal/snapshot_replica.h"
#include "backup/internal/staging_directory.h"
#include "backup/restore.h"
#include "cache/hlc.h"
#include "cache/hydration.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::RestorePlan;
using backup::format::HydrationState;
using cache::Hlc;

namespace {

// What was flushed in newer snapshots that only this one has may come back.
std::string NotAsked(const std::string& path, const absl::Status& why) {
  return absl::StrCat(
      path, ": cannot be asked what was flushed since: ", why.message());
}

// Plans with the archive in `path`. Empty `snapshot_id`: with the one that is
// asked for.
absl::StatusOr<RestorePlan> PlanWith(const LazyStartOptions& options,
                                     const std::string& path,
                                     const std::string& snapshot_id) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(path, options.cache.file_system, options.keys));
  backup::RestoreOptions restore;
  restore.snapshot_id = snapshot_id;
  restore.not_after_unix_ms = options.not_after_unix_ms;
  restore.cache = options.cache;
  return PlanRestore(archive, restore);
}

// Plans with the first archive that has the snapshot and can be read. Errors:
// those of the last; and what one says that can be read but lacks a condition,
// such as the key of a newer snapshot: another archive may not have that one,
// nor know what was flushed since.
absl::StatusOr<RestorePlan> PlanWithAny(const LazyStartOptions& options,
                                        size_t* leader) {
  absl::Status last = absl::InvalidArgumentError("lazy restore: no archive");
  for (*leader = 0; *leader < options.archives.size(); ++*leader) {
    const std::string& path = options.archives[*leader];
    absl::StatusOr<RestorePlan> plan =
        PlanWith(options, path, options.snapshot_id);
    if (plan.ok() || absl::IsFailedPrecondition(plan.status())) return plan;
    last = plan.status();
  }
  return last;
}

// An archive without the snapshot, which may know all the same what was flushed
// since. Does not move: the lease borrows the archive.
struct Witness {
  explicit Witness(backup::Archive opened) : archive(std::move(opened)) {}

  const backup::Archive archive;
  std::vector<std::string> newer;
  std::unique_ptr<Lease> lease;  // On these; null when there are none.
};
using Witnesses = std::vector<std::unique_ptr<Witness>>;

// Errors: of the archive; kFailedPrecondition: the key of a newer snapshot is
// not there.
absl::StatusOr<std::unique_ptr<Witness>> OpenWitness(
    const LazyStartOptions& options, const std::string& path,
    const backup::format::CacheInfo& cache) {
  LARDER_ASSIGN_OR_RETURN(
      backup::Archive archive,
      backup::Archive::Open(path, options.cache.file_system, options.keys));
  auto witness = std::make_unique<Witness>(std::move(archive));
  LARDER_ASSIGN_OR_RETURN(const std::vector<backup::SnapshotEntry> all,
                          witness->archive.List());
  for (const backup::SnapshotEntry& other : all) {
    if (!other.status.ok()) continue;
    const auto& sources = other.manifest.header().sources();
    const bool tells = absl::c_any_of(sources, [&](const auto& source) {
      return source.kind() == backup::format::SOURCE_KIND_BLOB_CACHE &&
             MayTellOfLater(source.cache(), cache);
    });
    if (!tells) continue;
    LARDER_RETURN_IF_ERROR(witness->archive.SealOf(other.manifest).status());
    witness->newer.push_back(other.id);
  }
  if (!witness->newer.empty()) {
    LARDER_ASSIGN_OR_RETURN(
        witness->lease,
        Lease::Take(&witness->archive, witness->newer, options.cache.clock));
  }
  return witness;
}

absl::StatusOr<Witnesses> OpenWitnesses(const LazyStartOptions& options,
                                        const std::vector<std::string>& paths,
                                        LazyStart* start) {
  const SnapshotReplica& first = *start->replicas.front();
  const auto& cache = first.chain()
                          .back()
                          .manifest.header()
                          .sources(first.sources().back())
                          .cache();
  Witnesses witnesses;
  for (const std::string& path : paths) {
    absl::StatusOr<std::unique_ptr<Witness>> witness =
        OpenWitness(options, path, cache);
    if (absl::IsFailedPrecondition(witness.status())) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": ", witness.status().message()));
    }
    if (!witness.ok()) {
      start->warnings.push_back(NotAsked(path, witness.status()));
      continue;
    }
    start->warnings.push_back(
        absl::StrCat(path, ": lacks snapshot ", start->state.snapshot_id(),
                     ": was only asked what was flushed since"));
    witnesses.push_back(*std::move(witness));
  }
  return witnesses;
}

// What the archive has that is newer than the snapshot.
absl::StatusOr<std::vector<std::string>> NewerIn(
    const LazyStartOptions& options, const std::string& path,
    LazyStart* start) {
  LARDER_ASSIGN_OR_RETURN(const RestorePlan plan,
                          PlanWith(options, path, start->state.snapshot_id()));
  for (const std::string& warning : plan.warnings) {
    // The snapshot's own are the same in each.
    if (absl::c_linear_search(start->warnings, warning)) continue;
    start->warnings.push_back(warning);
  }
  return plan.newer_snapshots;
}

// Opens those that can be read, in order. `newer`: snapshots that the first
// one, number `leader`, must keep, too; the others keep theirs. Null: none are
// needed any more. `lacking`: told which lack the snapshot, unless it is null.
// Errors: those of the last, if none; that the key of a newer snapshot is not
// there, as of the first.
absl::Status OpenReplicas(const LazyStartOptions& options,
                          const std::vector<std::string>& paths, size_t leader,
                          const std::vector<std::string>* newer,
                          std::vector<std::string>* lacking, LazyStart* start) {
  absl::Status last = absl::InvalidArgumentError("lazy restore: no archive");
  const HydrationState& state = start->state;
  // Until there is an L2 that needs it, a lease goes with the process.
  const Lease::Terms terms = {.name = state.lease_name(),
                              .holder = options.holder,
                              .lease_ms = kHydrationLeaseMs,
                              .stays = start->resumed};
  for (size_t i = leader; i < paths.size(); ++i) {
    absl::StatusOr<std::vector<std::string>> needed =
        std::vector<std::string>();
    if (newer != nullptr) {
      needed = i == leader ? *newer : NewerIn(options, paths[i], start);
    }
    absl::StatusOr<std::unique_ptr<SnapshotReplica>> replica =
        SnapshotReplica::Open(paths[i], state.snapshot_id(),
                              needed.value_or(std::vector<std::string>()),
                              options.cache.file_system, options.cache.clock,
                              options.keys, terms);
    // One with dumps in the clear may be anybody's.
    if (replica.ok() && !start->replicas.empty() &&
        backup::DumpsInTheClear((*replica)->chain()) >
            backup::DumpsInTheClear(start->replicas[0]->chain())) {
      (*replica)->GiveLeaseBack();
      replica = absl::FailedPreconditionError(
          "has dumps in the clear that are sealed in the first archive");
    }
    if (replica.ok()) {
      if (absl::IsFailedPrecondition(needed.status())) {
        return absl::FailedPreconditionError(
            absl::StrCat(paths[i], ": ", needed.status().message()));
      }
      start->replicas.push_back(*std::move(replica));
      last = needed.status();
    } else {
      last = replica.status();
    }
    if (last.ok()) continue;
    if (lacking != nullptr && absl::IsNotFound(last)) {
      lacking->push_back(paths[i]);
      continue;
    }
    start->warnings.push_back(
        newer != nullptr ? NotAsked(paths[i], last)
                         : absl::StrCat(paths[i], ": ", last.message()));
  }
  if (start->replicas.empty()) return last;
  const auto& chain = start->replicas[0]->chain();
  if (options.keys != nullptr && backup::DumpsInTheClear(chain) > 0) {
    start->warnings.push_back(backup::TellInTheClear(chain));
  }
  return absl::OkStatus();
}

absl::Status BuildL2(const LazyStartOptions& options,
                     const Witnesses& witnesses, LazyStart* start) {
  const SnapshotReplica& first = *start->replicas.front();
  const auto& manifest = first.chain().back().manifest;
  const uint16_t source = first.sources().back();
  std::vector<NewerSnapshots> in_each;
  for (const auto& replica : start->replicas) {
    in_each.push_back({.archive = &replica->archive(),
                       .ids = &replica->newer(),
                       .lease = replica->newer_lease()});
  }
  for (const auto& witness : witnesses) {
    in_each.push_back({.archive = &witness->archive,
                       .ids = &witness->newer,
                       .lease = witness->lease.get()});
  }
  InvalidationSet merged;
  InvalidationSet newer;
  LARDER_ASSIGN_OR_RETURN(
      const bool all,
      CollectInvalidations({.archive = &first.archive(),
                            .manifest = &manifest,
                            .source = source,
                            .newer = std::move(in_each),
                            .cancellation = options.cancellation,
                            .problem =
                                [start](const absl::Status& problem) {
                                  start->warnings.emplace_back(
                                      problem.message());
                                }},
                           &merged, &newer, &start->covering));
  for (const auto& replica : start->replicas) replica->ReleaseNewer();
  if (!all) {
    start->warnings.emplace_back(
        "a newer snapshot's invalidations are unreadable: what was flushed "
        "there may come back");
  }
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<StagingDirectory> staging,
                          StagingDirectory::Create(options.cache.l2_path,
                                                   start->state.snapshot_id(),
                                                   options.cache.file_system));
  cache::SnapshotInfo info =
      backup::format::FromMessage(manifest.header().sources(source).cache());
  info.namespaces = merged.Namespaces();
  info.tombstones = merged.Tombstones();
  info.hlc = std::max({info.hlc, merged.newest(), Hlc{1}});
  cache::BlobCacheOptions target = options.cache;
  target.l2_path = staging->path();
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<cache::L2Loader> loader,
                          cache::CreateL2Loader(target, info));
  LARDER_RETURN_IF_ERROR(loader->Close().status());
  cache::l2::FileSystem* const fs = options.cache.file_system;
  LARDER_ASSIGN_OR_RETURN(
      const uint32_t parts,
      WriteHydrationInvalidations(fs, staging->path(), start->covering));
  start->state.set_invalidation_parts(parts);
  LARDER_RETURN_IF_ERROR(
      WriteHydrationState(fs, staging->path(), start->state));
  LARDER_RETURN_IF_ERROR(cache::BeginHydration(fs, staging->path(), info.hlc));
  for (const auto& replica : start->replicas) replica->LeaveLease();
  const absl::Status published = staging->Publish();
  // It may have failed behind the rename: then what is there needs them.
  if (!published.ok() && !fs->Exists(options.cache.l2_path)) {
    for (const auto& replica : start->replicas) replica->GiveLeaseBack();
  }
  return published;
}

absl::Status Begin(const LazyStartOptions& options, LazyStart* start) {
  size_t leader = 0;
  LARDER_ASSIGN_OR_RETURN(const RestorePlan plan,
                          PlanWithAny(options, &leader));
  HydrationState& state = start->state;
  for (size_t i = leader; i < options.archives.size(); ++i) {
    state.add_archives(options.archives[i]);
  }
  state.set_snapshot_id(plan.snapshot.id);
  state.set_lease_name(NewLeaseName());
  state.set_records(plan.records);
  state.set_stored_bytes(plan.records_stored_bytes);
  start->warnings.insert(start->warnings.end(), plan.warnings.begin(),
                         plan.warnings.end());
  std::vector<std::string> lacking(
      options.archives.begin(),
      options.archives.begin() + static_cast<ptrdiff_t>(leader));
  LARDER_RETURN_IF_ERROR(OpenReplicas(options, options.archives, leader,
                                      &plan.newer_snapshots, &lacking, start));
  LARDER_ASSIGN_OR_RETURN(const Witnesses witnesses,
                          OpenWitnesses(options, lacking, start));
  return BuildL2(options, witnesses, start);
}

// Of a hydration that has ended.
absl::Status RemoveWhatIsLeft(const cache::BlobCacheOptions& options) {
  const absl::StatusOr<HydrationState> state =
      ReadHydrationState(options.file_system, options.l2_path);
  if (state.ok()) GiveLeasesBack(options.file_system, *state);
  return RemoveHydrationFiles(options.file_system, options.l2_path);
}

absl::Status GoOn(const LazyStartOptions& options, LazyStart* start) {
  start->resumed = true;
  cache::l2::FileSystem* const fs = options.cache.file_system;
  const std::string& path = options.cache.l2_path;
  LARDER_ASSIGN_OR_RETURN(start->state, ReadHydrationState(fs, path));
  HydrationState& state = start->state;
  if (!options.snapshot_id.empty() &&
      options.snapshot_id != state.snapshot_id()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": snapshot ", state.snapshot_id(),
                     " is being restored vs ", options.snapshot_id));
  }
  LARDER_RETURN_IF_ERROR(ReadHydrationInvalidations(
      fs, path, state.invalidation_parts(), &start->covering));
  if (state.lease_name().empty()) state.set_lease_name(NewLeaseName());
  if (!options.archives.empty()) {
    state.mutable_archives()->Assign(options.archives.begin(),
                                     options.archives.end());
  }
  // All that newer snapshots had to tell when it began is in the L2's
  // directory; who comes later is not asked.
  return OpenReplicas(
      options, {state.archives().begin(), state.archives().end()},
      /*leader=*/0, /*newer=*/nullptr, /*lacking=*/nullptr, start);
}

}  // namespace

absl::StatusOr<LazyStart> StartLazily(const LazyStartOptions& options) {
  LazyStart start;
  LARDER_ASSIGN_OR_RETURN(
      const std::optional<Hlc> floor,
      cache::ReadHydration(options.cache.file_system, options.cache.l2_path));
  if (!floor.has_value() &&
      options.cache.file_system->Exists(options.cache.l2_path + "/meta")) {
    // As of one that died just when it had ended.
    LARDER_RETURN_IF_ERROR(RemoveWhatIsLeft(options.cache));
  }
  cache::BlobCacheOptions cache = options.cache;
  cache.l2_must_exist = true;
  if (floor.has_value()) {
    // First, as it holds the L2's lock: the lease has its file from one process
    // at a time.
    LARDER_ASSIGN_OR_RETURN(start.cache, cache::BlobCache::Open(cache));
    LARDER_RETURN_IF_ERROR(GoOn(options, &start));
    return start;
  }
  LARDER_RETURN_IF_ERROR(Begin(options, &start));
  LARDER_ASSIGN_OR_RETURN(start.cache, cache::BlobCache::Open(cache));
  return start;
}

void GiveLeasesBack(cache::l2::FileSystem* file_system,
                    const HydrationState& state) {
  if (state.lease_name().empty()) return;
  for (const std::string& archive : state.archives()) {
    // Where it stays, it expires.
    RemoveLease(file_system, archive, state.lease_name()).IgnoreError();
  }
}

absl::StatusOr<std::optional<HydrationState>> EndLazily(
    const cache::BlobCacheOptions& options) {
  cache::BlobCacheOptions existing = options;
  existing.l2_must_exist = true;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<cache::BlobCache> cache,
                          cache::BlobCache::Open(existing));
  // Under the L2's lock, that the cache holds.
  LARDER_ASSIGN_OR_RETURN(
      const std::optional<Hlc> floor,
      cache::ReadHydration(options.file_system, options.l2_path));
  if (!floor.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.l2_path, ": no lazy restore to give up"));
  }
  std::optional<HydrationState> state;
  absl::StatusOr<HydrationState> read =
      ReadHydrationState(options.file_system, options.l2_path);
  if (read.ok()) state = *std::move(read);
  LARDER_RETURN_IF_ERROR(cache->EndHydration());
  LARDER_RETURN_IF_ERROR(RemoveWhatIsLeft(options));
  return state;
}

}  // namespace larder::backup_internal
