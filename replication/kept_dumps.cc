#include "replication/kept_dumps.h"

#include "absl/strings/str_cat.h"
#include "backup/format/message.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"
#include "replication/owner.pb.h"

namespace larder::replication {
namespace {

using backup::PartialDump;
using cache::l2::FileLock;
using cache::l2::FileSystem;

constexpr absl::string_view kOwnerName = "owner";
constexpr absl::string_view kLockName = "lock";
// Not a snapshot's id, so it is no dump's directory.
constexpr absl::string_view kOwnName = "replica.d";

}  // namespace

std::string KeptDumps::OwnDirectory(absl::string_view place) {
  return PartialDump::Directory(std::string(place), kOwnName);
}

std::string KeptDumps::Directory(absl::string_view id) const {
  return PartialDump::Directory(place_, id);
}

absl::StatusOr<std::unique_ptr<FileLock>> KeptDumps::Claim() const {
  FileSystem* const file_system = options_.file_system;
  LARDER_RETURN_IF_ERROR(
      file_system->CreatePrivateDirectories(OwnDirectory(place_)));
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(place_));
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(Directory("")));
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      file_system->Lock(absl::StrCat(OwnDirectory(place_), "/", kLockName));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(
        absl::StrCat(place_, ": another replica receives into it"));
  }
  return lock;
}

absl::StatusOr<std::unique_ptr<PartialDump>> KeptDumps::Begin(
    const DumpOwner& owner) const {
  LARDER_ASSIGN_OR_RETURN(auto dump,
                          PartialDump::Begin(place_, options_, owner.header));
  LARDER_RETURN_IF_ERROR(WriteOwner(owner));
  return dump;
}

absl::StatusOr<std::unique_ptr<PartialDump>> KeptDumps::Resume(
    const DumpOwner& owner) const {
  return PartialDump::Reopen(place_, options_, owner.header);
}

absl::StatusOr<std::vector<DumpOwner>> KeptDumps::ListKept() const {
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                          PartialDump::List(place_, options_));
  std::vector<DumpOwner> owners;
  for (const std::string& id : ids) {
    absl::StatusOr<DumpOwner> owner = ReadOwner(id);
    // Killed as it began, or damaged: nobody can go on with it.
    if (!owner.ok() || owner->header.snapshot_id() != id) {
      owner = DumpOwner();
      owner->header.set_snapshot_id(id);
    }
    owners.push_back(*std::move(owner));
  }
  return owners;
}

absl::Status KeptDumps::Discard(absl::string_view id) const {
  return PartialDump::Discard(place_, options_, id);
}

absl::Status KeptDumps::WriteOwner(const DumpOwner& owner) const {
  OwnerFile file;
  file.set_peer(owner.peer);
  file.set_lineage(owner.lineage);
  file.set_header(backup::format::SerializeMessage(owner.header));
  file.set_expires_unix_ms(owner.expires_unix_ms);
  return backup::WriteSmallFile(
      options_.file_system, Directory(owner.header.snapshot_id()), kOwnerName,
      backup::format::SerializeMessage(file));
}

absl::StatusOr<DumpOwner> KeptDumps::ReadOwner(absl::string_view id) const {
  LARDER_ASSIGN_OR_RETURN(
      const std::string bytes,
      backup::ReadSmallFile(options_.file_system, Directory(id), kOwnerName));
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

}  // namespace larder::replication
