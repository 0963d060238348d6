#include "backup/archive.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "backup/format/archive_file.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "backup/format/sealed_dump.h"
#include "backup/internal/archive_layout.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::l2::File;
using cache::l2::FileSystem;

absl::StatusOr<std::string> ReadManifestFile(FileSystem* file_system,
                                             const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                          file_system->Open(path, {.read_only = true}));
  if (file->Size() > format::kManifestBytesMax) {
    return absl::DataLossError(absl::StrFormat("%s: %d bytes exceeds %d", path,
                                               file->Size(),
                                               format::kManifestBytesMax));
  }
  std::string bytes(file->Size(), '\0');
  LARDER_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(bytes)));
  return bytes;
}

}  // namespace

int64_t DumpsInTheClear(const std::vector<SnapshotEntry>& chain) {
  return std::count_if(chain.begin(), chain.end(),
                       [](const SnapshotEntry& layer) {
                         return !layer.manifest.header().has_encryption();
                       });
}

std::string TellInTheClear(const std::vector<SnapshotEntry>& chain) {
  return absl::StrCat(
      DumpsInTheClear(chain), " of ", chain.size(),
      chain.size() == 1 ? " dump" : " dumps",
      " in the clear: nothing proves that it is what was backed up");
}

absl::StatusOr<Archive> Archive::Open(std::string path, FileSystem* file_system,
                                      Keys keys) {
  if (file_system == nullptr) file_system = cache::l2::PosixFileSystem();
  if (!file_system->Exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": archive does not exist"));
  }
  if (!file_system->Exists(backup_internal::ManifestsPath(path))) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": not an archive: no ", backup_internal::kManifestsName));
  }
  std::string packs = backup_internal::PacksPath(path);
  return Archive(std::move(path), std::move(packs), file_system,
                 std::move(keys));
}

Archive Archive::OfPacks(std::string directory, FileSystem* file_system,
                         Keys keys) {
  if (file_system == nullptr) file_system = cache::l2::PosixFileSystem();
  std::string packs = directory;
  return Archive(std::move(directory), std::move(packs), file_system,
                 std::move(keys));
}

format::DumpSeal Archive::SealOf(const format::Manifest& manifest) const {
  format::DumpSeal seal = format::SealOf(manifest.header(), keys_.get());
  const absl::Status signature = format::CheckSignature(seal, manifest);
  if (signature.ok()) return seal;
  return format::DumpSeal::Locked(signature);
}

std::string Archive::ManifestPath(absl::string_view id) const {
  return backup_internal::ManifestPath(path_, id);
}

std::string Archive::PackPath(absl::string_view pack_name) const {
  return absl::StrCat(packs_path_, "/", pack_name);
}

absl::Status Archive::CheckThere() const {
  if (file_system_->Exists(packs_path_)) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(packs_path_, ": is not there: not mounted?"));
}

void Archive::CheckPack(const format::Pack& pack, SnapshotEntry* entry) const {
  const std::string path = PackPath(pack.name());
  const auto file = file_system_->Open(path, {.read_only = true});
  if (!file.ok()) {
    entry->incomplete_reason = std::string(file.status().message());
    entry->incomplete_code = absl::IsNotFound(file.status())
                                 ? absl::StatusCode::kDataLoss
                                 : file.status().code();
  } else if ((*file)->Size() != pack.bytes()) {
    entry->incomplete_reason = absl::StrFormat(
        "%s: %d bytes vs expected %d", path, (*file)->Size(), pack.bytes());
    entry->incomplete_code = absl::StatusCode::kDataLoss;
  } else {
    return;
  }
  entry->complete = false;
}

const SnapshotEntry& Archive::ReadOwn(const std::string& id, Read* read) const {
  const auto [at, is_new] = read->try_emplace(id);
  SnapshotEntry& entry = at->second;
  if (!is_new) return entry;
  entry.id = id;
  const std::string path = ManifestPath(id);
  absl::StatusOr<std::string> bytes = ReadManifestFile(file_system_, path);
  entry.status = bytes.status();
  if (!bytes.ok()) return entry;
  absl::StatusOr<format::Manifest> manifest = format::DecodeManifest(*bytes);
  if (manifest.ok() && manifest->header().snapshot_id() != id) {
    manifest = absl::DataLossError(
        absl::StrCat("manifest: snapshot ", manifest->header().snapshot_id(),
                     " vs expected ", id));
  }
  if (manifest.ok()) {
    const absl::Status opened = SealOf(*manifest).status();
    // Who has no key believes it as far as checksums go.
    if (absl::IsDataLoss(opened)) manifest = opened;
  }
  if (!manifest.ok()) {
    entry.status =
        absl::Status(manifest.status().code(),
                     absl::StrCat(path, ": ", manifest.status().message()));
    return entry;
  }
  entry.manifest = *std::move(manifest);
  entry.bytes = static_cast<int64_t>(bytes->size());
  entry.complete = true;
  // What another dump's packs hold counts once, for that.
  for (const format::Pack& pack : entry.manifest.packs()) {
    entry.bytes += static_cast<int64_t>(pack.bytes());
  }
  for (const auto* packs :
       {&entry.manifest.packs(), &entry.manifest.references()}) {
    for (const format::Pack& pack : *packs) {
      if (entry.complete) CheckPack(pack, &entry);
    }
  }
  return entry;
}

absl::StatusOr<std::vector<const SnapshotEntry*>> Archive::ReadChain(
    const SnapshotEntry& entry, Read* read) const {
  std::vector<const SnapshotEntry*> chain = {&entry};
  while (true) {
    const format::Manifest& top = chain.back()->manifest;
    const std::string& base_id = top.header().base_snapshot_id();
    if (base_id.empty()) break;
    const auto broken = [&](absl::string_view why) {
      return absl::DataLossError(absl::StrCat(path_, ": snapshot ", entry.id,
                                              ": a delta on snapshot ", base_id,
                                              ": ", why));
    };
    const SnapshotEntry& base = ReadOwn(base_id, read);
    if (!base.status.ok()) return broken(base.status.message());
    // Or a forged archive could lead in circles.
    if (base.manifest.ordinal() >= top.ordinal()) {
      return broken(absl::StrFormat("ordinal: %d vs below %d",
                                    base.manifest.ordinal(), top.ordinal()));
    }
    if (static_cast<int>(chain.size()) > format::kDeltasPerChainMax) {
      return broken(absl::StrFormat("more than %d deltas on a full dump",
                                    format::kDeltasPerChainMax));
    }
    chain.push_back(&base);
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

absl::StatusOr<std::vector<SnapshotEntry>> Archive::Chain(
    const SnapshotEntry& entry) const {
  LARDER_RETURN_IF_ERROR(entry.status);
  Read read;
  LARDER_ASSIGN_OR_RETURN(const std::vector<const SnapshotEntry*> chain,
                          ReadChain(entry, &read));
  std::vector<SnapshotEntry> copies;
  for (const SnapshotEntry* each : chain) {
    copies.push_back(*each);
    copies.back().deltas = static_cast<int>(copies.size()) - 1;
  }
  return copies;
}

SnapshotEntry Archive::ReadEntry(const std::string& id, Read* read) const {
  SnapshotEntry entry = ReadOwn(id, read);
  if (!entry.status.ok() ||
      entry.manifest.header().base_snapshot_id().empty()) {
    return entry;
  }
  const absl::StatusOr<std::vector<const SnapshotEntry*>> chain =
      ReadChain(entry, read);
  if (chain.ok()) entry.deltas = static_cast<int>(chain->size()) - 1;
  if (!entry.complete) return entry;
  if (!chain.ok()) {
    entry.complete = false;
    entry.incomplete_reason = std::string(chain.status().message());
    entry.incomplete_code = chain.status().code();
    return entry;
  }
  for (const SnapshotEntry* below : *chain) {
    if (below->complete) continue;
    entry.complete = false;
    entry.incomplete_reason = absl::StrCat("a delta on snapshot ", below->id,
                                           ": ", below->incomplete_reason);
    entry.incomplete_code = below->incomplete_code;
    break;
  }
  return entry;
}

absl::StatusOr<std::vector<SnapshotEntry>> Archive::List() const {
  LARDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      file_system_->List(backup_internal::ManifestsPath(path_)));
  std::vector<SnapshotEntry> entries;
  Read read;  // A base is below many others.
  for (absl::string_view name : names) {
    if (absl::ConsumeSuffix(&name, backup_internal::kManifestSuffix) &&
        format::IsSnapshotId(name)) {
      entries.push_back(ReadEntry(std::string(name), &read));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const auto key = [](const SnapshotEntry& e) {
      return std::make_tuple(!e.status.ok(), e.manifest.ordinal(), e.id);
    };
    return key(a) < key(b);
  });
  return entries;
}

absl::StatusOr<SnapshotEntry> Archive::Find(absl::string_view id) const {
  if (!id.empty()) {
    if (!format::IsSnapshotId(id)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "snapshot \"", format::Printable(id), "\": not a snapshot's id"));
    }
    if (!file_system_->Exists(ManifestPath(id))) {
      return absl::NotFoundError(
          absl::StrCat(path_, ": snapshot ", id, " does not exist"));
    }
    Read read;
    SnapshotEntry entry = ReadEntry(std::string(id), &read);
    LARDER_RETURN_IF_ERROR(entry.status);
    return entry;
  }
  return FindAt(std::numeric_limits<int64_t>::max());
}

absl::StatusOr<SnapshotEntry> Archive::FindAt(int64_t unix_ms) const {
  LARDER_ASSIGN_OR_RETURN(std::vector<SnapshotEntry> entries, List());
  if (entries.empty()) {
    return absl::NotFoundError(absl::StrCat(path_, ": holds no snapshot"));
  }
  // Who cannot be read does not say when it was made.
  std::erase_if(entries, [unix_ms](const SnapshotEntry& entry) {
    return entry.status.ok() &&
           entry.manifest.header().created_unix_ms() > unix_ms;
  });
  for (auto it = entries.rbegin(); it != entries.rend(); ++it) {
    if (it->complete) return std::move(*it);
  }
  if (entries.empty()) {
    return absl::NotFoundError(
        absl::StrCat(path_, ": holds no snapshot from before ",
                     absl::FormatTime(absl::FromUnixMillis(unix_ms),
                                      absl::LocalTimeZone())));
  }
  const SnapshotEntry& last = entries.back();
  return absl::Status(
      last.status.ok() ? last.incomplete_code : last.status.code(),
      absl::StrCat(path_, ": none of ", entries.size(),
                   " snapshots is complete: ",
                   last.status.ok() ? absl::string_view(last.incomplete_reason)
                                    : last.status.message()));
}

}  // namespace larder::backup
