#include "backup/internal/snapshot_replica.h"

#include <utility>

#include "backup/format/dump.pb.h"
#include "backup/internal/restore_sources.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

absl::StatusOr<std::unique_ptr<SnapshotReplica>> SnapshotReplica::Open(
    const std::string& path, const std::string& snapshot_id,
    std::vector<std::string> newer, cache::l2::FileSystem* file_system,
    cache::Clock* clock, backup::Archive::Keys keys, Lease::Terms terms) {
  LARDER_ASSIGN_OR_RETURN(
      backup::Archive archive,
      backup::Archive::Open(path, file_system, std::move(keys)));
  std::unique_ptr<SnapshotReplica> replica(
      new SnapshotReplica(std::move(archive)));
  LARDER_ASSIGN_OR_RETURN(const backup::SnapshotEntry entry,
                          replica->archive_.Find(snapshot_id));
  LARDER_ASSIGN_OR_RETURN(replica->chain_, replica->archive_.Chain(entry));
  LARDER_ASSIGN_OR_RETURN(
      const uint16_t index,
      ChooseSource(entry.manifest, backup::format::SOURCE_KIND_BLOB_CACHE, ""));
  std::vector<std::string> ids;
  for (size_t i = 0; i < replica->chain_.size(); ++i) {
    LARDER_RETURN_IF_ERROR(
        replica->archive_.SealOf(replica->chain_[i].manifest).status());
    LARDER_ASSIGN_OR_RETURN(const uint16_t source,
                            CacheSourceIn(replica->chain_, i, index));
    replica->sources_.push_back(source);
    ids.push_back(replica->chain_[i].id);
  }
  replica->newer_ = std::move(newer);
  if (!replica->newer_.empty()) {
    LARDER_ASSIGN_OR_RETURN(
        replica->newer_lease_,
        Lease::Take(&replica->archive_, replica->newer_, clock));
  }
  cache::MutexLock lock(&replica->lease_mu_);
  LARDER_ASSIGN_OR_RETURN(
      replica->lease_,
      Lease::Take(&replica->archive_, std::move(ids), clock, std::move(terms)));
  return replica;
}

void SnapshotReplica::RenewLease() {
  cache::MutexLock lock(&lease_mu_);
  lease_->Renew();
}

void SnapshotReplica::LeaveLease() {
  cache::MutexLock lock(&lease_mu_);
  lease_->Leave();
}

void SnapshotReplica::GiveLeaseBack() {
  cache::MutexLock lock(&lease_mu_);
  lease_->GiveBack();
}

absl::Status SnapshotReplica::unprotected() {
  cache::MutexLock lock(&lease_mu_);
  return lease_->problem();
}

}  // namespace larder::backup_internal
