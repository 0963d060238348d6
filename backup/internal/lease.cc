#include "backup/internal/lease.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/dump.pb.h"
#include "backup/format/message.h"
#include "backup/internal/archive_layout.h"
#include "backup/internal/leftovers.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {
namespace {

using backup::Archive;
using cache::l2::FileSystem;

absl::Status WriteLease(const Archive& archive, absl::string_view name,
                        const backup::format::Lease& message) {
  const std::string bytes = backup::format::SerializeMessage(message);
  const std::string directory = LeasesPath(archive.path());
  if (bytes.size() > backup::kSmallFileBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(directory, ": lease of ", bytes.size(), " bytes exceeds ",
                     backup::kSmallFileBytesMax));
  }
  LARDER_RETURN_IF_ERROR(
      archive.file_system()->CreatePrivateDirectories(directory));
  return backup::WriteSmallFile(archive.file_system(), directory, name, bytes);
}

absl::StatusOr<backup::format::Lease> ReadLease(const Archive& archive,
                                                absl::string_view name) {
  const std::string directory = LeasesPath(archive.path());
  LARDER_ASSIGN_OR_RETURN(
      const std::string bytes,
      backup::ReadSmallFile(archive.file_system(), directory, name));
  backup::format::Lease message;
  const absl::Status parsed = backup::format::ParseMessage(bytes, &message);
  if (parsed.ok()) return message;
  return absl::Status(parsed.code(), absl::StrCat(directory, "/", name, ": ",
                                                  parsed.message()));
}

// Whole or not, but not what is being removed.
absl::StatusOr<std::vector<std::string>> LeaseNames(const Archive& archive) {
  auto names = archive.file_system()->List(LeasesPath(archive.path()));
  if (absl::IsNotFound(names.status())) return std::vector<std::string>();
  LARDER_RETURN_IF_ERROR(names.status());
  std::erase_if(*names, [](const std::string& name) {
    return name == kPruningName || absl::EndsWith(name, kTemporarySuffix);
  });
  return names;
}

backup::format::Lease LeaseOf(const std::vector<std::string>& snapshot_ids,
                              int64_t expires_unix_ms) {
  backup::format::Lease message;
  for (const std::string& id : snapshot_ids) message.add_snapshot_ids(id);
  message.set_expires_unix_ms(expires_unix_ms);
  return message;
}

}  // namespace

std::string NewLeaseName() {
  std::random_device device;
  return absl::StrFormat("%08x%08x", device(), device());
}

bool IsLeaseName(absl::string_view name) {
  return name.size() == 16 && absl::c_all_of(name, absl::ascii_isxdigit);
}

absl::Status RemoveLease(FileSystem* file_system,
                         const std::string& archive_path,
                         absl::string_view name) {
  const absl::Status removed =
      file_system->Remove(absl::StrCat(LeasesPath(archive_path), "/", name));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

Lease::Lease(const Archive* archive, std::vector<std::string> snapshot_ids,
             cache::Clock* clock, Terms terms)
    : archive_(archive),
      snapshot_ids_(std::move(snapshot_ids)),
      clock_(clock != nullptr ? clock : cache::SystemClock()),
      terms_(std::move(terms)) {
  if (terms_.name.empty()) terms_.name = NewLeaseName();
}

absl::StatusOr<std::unique_ptr<Lease>> Lease::Take(
    const Archive* archive, std::vector<std::string> snapshot_ids,
    cache::Clock* clock, Terms terms) {
  std::sort(snapshot_ids.begin(), snapshot_ids.end());
  snapshot_ids.erase(std::unique(snapshot_ids.begin(), snapshot_ids.end()),
                     snapshot_ids.end());
  std::unique_ptr<Lease> lease(
      new Lease(archive, std::move(snapshot_ids), clock, std::move(terms)));
  lease->problem_ = lease->Write();
  lease->taken_ = lease->problem_.ok();
  if (lease->taken_) LARDER_RETURN_IF_ERROR(lease->CheckAllThere());
  return lease;
}

Lease::~Lease() {
  if (!terms_.stays) GiveBack();
}

void Lease::GiveBack() {
  taken_ = false;
  for (const absl::string_view suffix :
       {absl::string_view(), kTemporarySuffix}) {
    RemoveLease(archive_->file_system(), archive_->path(),
                absl::StrCat(terms_.name, suffix))
        .IgnoreError();
  }
}

absl::Status Lease::Write() {
  written_unix_ms_ = clock_->NowUnixMillis();
  backup::format::Lease message =
      LeaseOf(snapshot_ids_, written_unix_ms_ + terms_.lease_ms);
  message.set_holder(terms_.holder);
  return WriteLease(*archive_, terms_.name, message);
}

void Lease::Renew() {
  if (!taken_) return;
  // Also when the clock was set back: it would be renewed too late.
  const int64_t age_ms = std::abs(clock_->NowUnixMillis() - written_unix_ms_);
  if (age_ms < terms_.lease_ms / (kLeaseMs / kRenewMs)) return;
  problem_ = Write();
  // Meanwhile nothing was protected.
  if (problem_.ok() && age_ms >= terms_.lease_ms) problem_ = CheckAllThere();
}

absl::Status Lease::CheckAllThere() const {
  const auto pruning = ReadLease(*archive_, kPruningName);
  if (pruning.ok() && BackupIsRunning(*archive_)) {
    for (const std::string& id : pruning->snapshot_ids()) {
      if (!std::binary_search(snapshot_ids_.begin(), snapshot_ids_.end(), id)) {
        continue;
      }
      return absl::UnavailableError(absl::StrCat(
          archive_->path(), ": snapshot ", id, ": is being pruned"));
    }
  }
  for (const std::string& id : snapshot_ids_) {
    if (archive_->file_system()->Exists(archive_->ManifestPath(id))) continue;
    return absl::NotFoundError(absl::StrCat(archive_->path(), ": snapshot ", id,
                                            ": was pruned just now"));
  }
  return absl::OkStatus();
}

absl::StatusOr<LeasesHeld> FindLeases(const Archive& archive, int64_t unix_ms) {
  LeasesHeld found;
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          LeaseNames(archive));
  for (const std::string& name : names) {
    const auto lease = ReadLease(archive, name);
    if (absl::IsNotFound(lease.status())) continue;  // Given back meanwhile.
    LARDER_RETURN_IF_ERROR(lease.status());
    if (lease->expires_unix_ms() <= unix_ms) continue;
    for (const std::string& id : lease->snapshot_ids()) {
      LeaseHeld& held = found[id];
      if (held.expires_unix_ms >= lease->expires_unix_ms()) continue;
      held = {.holder = lease->holder(),
              .expires_unix_ms = lease->expires_unix_ms()};
    }
  }
  return found;
}

absl::Status RemoveExpiredLeases(const Archive& archive, int64_t unix_ms) {
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          LeaseNames(archive));
  for (const std::string& name : names) {
    const auto lease = ReadLease(archive, name);
    // One that cannot be read is for who finds it next.
    if (!lease.ok() ||
        lease->expires_unix_ms() > unix_ms - kExpiredLeaseKeptMs) {
      continue;
    }
    LARDER_RETURN_IF_ERROR(
        RemoveLease(archive.file_system(), archive.path(), name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Pruning>> Pruning::Announce(
    const Archive* archive, std::vector<std::string> snapshot_ids) {
  LARDER_RETURN_IF_ERROR(WriteLease(
      *archive, kPruningName, LeaseOf(snapshot_ids, /*expires_unix_ms=*/0)));
  return std::unique_ptr<Pruning>(new Pruning(archive));
}

Pruning::~Pruning() {
  archive_->file_system()
      ->Remove(absl::StrCat(LeasesPath(archive_->path()), "/", kPruningName))
      .IgnoreError();
}

}  // namespace larder::backup_internal
