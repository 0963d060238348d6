#include "backup/partial_dump.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/archive_file.h"
#include "backup/internal/archive_layout.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::l2::FileSystem;

FileSystem* FileSystemOf(const DirectorySink::Options& options) {
  return options.file_system != nullptr ? options.file_system
                                        : cache::l2::PosixFileSystem();
}

// Takes back packs that a crash in Publish() left in the archive.
absl::Status TakeBack(const std::string& archive, const std::string& directory,
                      const std::string& id, FileSystem* file_system) {
  if (file_system->Exists(backup_internal::ManifestPath(archive, id))) {
    return absl::NotFoundError(
        absl::StrCat(archive, ": snapshot ", id, " is published already"));
  }
  LARDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      file_system->List(backup_internal::PacksPath(archive)));
  for (const std::string& name : names) {
    std::string owner;
    if (!format::ParsePackName(name, &owner) || owner != id) continue;
    const absl::Status moved =
        file_system->Rename(backup_internal::PackPath(archive, name),
                            absl::StrCat(directory, "/", name));
    // A backup that cleans up may have been faster.
    if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  }
  return absl::OkStatus();
}

}  // namespace

std::string PartialDump::Directory(const std::string& archive,
                                   absl::string_view id) {
  return absl::StrCat(backup_internal::IncomingPath(archive), "/", id);
}

PartialDump::PartialDump(const std::string& archive,
                         const DirectorySink::Options& options,
                         const format::DumpHeader& header)
    : archive_(archive),
      options_(options),
      file_system_(FileSystemOf(options)),
      id_(header.snapshot_id()),
      directory_(Directory(archive, id_)),
      check_(id_, header.stream_id()),
      writer_({.file_system = file_system_,
               .directory = directory_,
               .snapshot_id = id_,
               .stream_id = header.stream_id(),
               .pack_bytes = options.pack_bytes,
               .sync = options.sync}) {}

absl::StatusOr<std::unique_ptr<PartialDump>> PartialDump::Begin(
    const std::string& archive, const DirectorySink::Options& options,
    const format::DumpHeader& header) {
  LARDER_RETURN_IF_ERROR(format::CheckDumpHeader(header));
  FileSystem* const file_system = FileSystemOf(options);
  const std::string& id = header.snapshot_id();
  if (file_system->Exists(backup_internal::ManifestPath(archive, id))) {
    return absl::AlreadyExistsError(
        absl::StrCat(archive, ": snapshot ", id, " exists"));
  }
  LARDER_RETURN_IF_ERROR(Discard(archive, options, id));
  auto dump =
      std::unique_ptr<PartialDump>(new PartialDump(archive, options, header));
  LARDER_RETURN_IF_ERROR(
      file_system->CreatePrivateDirectories(dump->directory_));
  if (options.sync) {
    LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(archive));
    LARDER_RETURN_IF_ERROR(
        file_system->SyncDirectory(backup_internal::IncomingPath(archive)));
  }
  return dump;
}

absl::StatusOr<std::unique_ptr<PartialDump>> PartialDump::Reopen(
    const std::string& archive, const DirectorySink::Options& options,
    const format::DumpHeader& header) {
  LARDER_RETURN_IF_ERROR(format::CheckDumpHeader(header));
  auto dump =
      std::unique_ptr<PartialDump>(new PartialDump(archive, options, header));
  if (!dump->file_system_->Exists(dump->directory_)) {
    return absl::NotFoundError(
        absl::StrCat(archive, ": nothing is there of snapshot ", dump->id_));
  }
  LARDER_RETURN_IF_ERROR(
      TakeBack(archive, dump->directory_, dump->id_, dump->file_system_));
  LARDER_RETURN_IF_ERROR(dump->writer_.Recover(
      [&dump](const format::ChunkHeader& chunk, absl::string_view bytes) {
        const absl::Status added = dump->check_.Add(chunk, bytes);
        // To the writer: what stands here is no chunk of this dump.
        return added.ok() ? added : absl::DataLossError(added.message());
      }));
  return dump;
}

absl::StatusOr<std::vector<std::string>> PartialDump::List(
    const std::string& archive, const DirectorySink::Options& options) {
  FileSystem* const file_system = FileSystemOf(options);
  std::vector<std::string> ids;
  const std::string incoming = backup_internal::IncomingPath(archive);
  if (!file_system->Exists(incoming)) return ids;
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          file_system->List(incoming));
  for (const std::string& name : names) {
    if (format::IsSnapshotId(name)) ids.push_back(name);
  }
  return ids;
}

absl::Status PartialDump::Discard(const std::string& archive,
                                  const DirectorySink::Options& options,
                                  absl::string_view id) {
  const absl::Status removed =
      FileSystemOf(options)->RemoveTree(Directory(archive, id));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::Status PartialDump::Append(const format::Chunk& chunk) {
  LARDER_RETURN_IF_ERROR(check_.Add(chunk.header, chunk.bytes));
  return writer_.Append(chunk);
}

absl::Status PartialDump::Sync() { return writer_.Sync(); }

absl::StatusOr<format::Manifest> PartialDump::Complete() {
  LARDER_RETURN_IF_ERROR(writer_.Close());
  LARDER_RETURN_IF_ERROR(writer_.Sync());
  format::Manifest manifest = check_.manifest();
  for (const format::Pack& pack : writer_.packs()) *manifest.add_packs() = pack;
  return manifest;
}

absl::StatusOr<SinkReceipt> PartialDump::Publish(
    DirectorySink::PublishFn publish) {
  LARDER_RETURN_IF_ERROR(Complete().status());
  LARDER_ASSIGN_OR_RETURN(
      const SinkReceipt receipt,
      DirectorySink::Adopt(archive_, options_, directory_, check_.manifest(),
                           writer_.packs(), publish));
  // It is a snapshot already; a directory that stays is discarded later.
  Discard(archive_, options_, id_).IgnoreError();
  return receipt;
}

}  // namespace larder::backup
