// A dump that reaches an archive bit by bit, over crashes of who receives it.
#ifndef LARDER_BACKUP_PARTIAL_DUMP_H_
#define LARDER_BACKUP_PARTIAL_DUMP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/directory_sink.h"
#include "backup/dump_check.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/pack_writer.h"
#include "backup/sink.h"

namespace larder::backup {

// Its packs lie in ARCHIVE/incoming/ID, out of the way of who writes, reads or
// cleans the archive, and are moved into it when the dump is whole
// (docs/formats/dump.md, "archive"). Nothing but Publish() takes the archive's
// lock. Who opens one must see to it that nobody else does.
//
// Single-owner. After an error of Append() or Sync() only Discard() helps: what
// a disk failed to write must not be trusted later. Destroying it keeps what is
// there. Memory: header, trailer and list of packs; while one is reopened, a
// chunk.
class PartialDump {
 public:
  // Begins the dump `header` anew.
  // Errors: kAlreadyExists when the archive has this snapshot.
  static absl::StatusOr<std::unique_ptr<PartialDump>> Begin(
      const std::string& archive, const DirectorySink::Options& options,
      const format::DumpHeader& header);
  // Goes on with what is there of it: every chunk from the first that is
  // sound. Reads and syncs all of them.
  // Errors: kNotFound.
  static absl::StatusOr<std::unique_ptr<PartialDump>> Reopen(
      const std::string& archive, const DirectorySink::Options& options,
      const format::DumpHeader& header);
  // Ids of all dumps that are there in part.
  static absl::StatusOr<std::vector<std::string>> List(
      const std::string& archive, const DirectorySink::Options& options);
  // Removes what is there of the dump `id`, if anything.
  static absl::Status Discard(const std::string& archive,
                              const DirectorySink::Options& options,
                              absl::string_view id);
  // Where the dump `id` lies; its owner may keep files of its own there, of
  // other names than packs have.
  static std::string Directory(const std::string& archive,
                               absl::string_view id);

  const DumpCheck& check() const { return check_; }

  // Requires: the payload was checked. A chunk that is refused by
  // DumpCheck::Add() is not written, and ends the dump too.
  absl::Status Append(const format::Chunk& chunk);
  // Makes all that was appended durable.
  absl::Status Sync();
  // Completes its packs, durably, for who reads them where they are; nothing
  // can be appended then. Returns: its manifest, with its packs.
  // Requires: check().complete().
  absl::StatusOr<format::Manifest> Complete();
  // Makes it a snapshot of the archive, by `publish`, and removes the
  // directory. Requires: check().complete().
  // Errors: kUnavailable when a backup holds the archive: try again.
  absl::StatusOr<SinkReceipt> Publish(DirectorySink::PublishFn publish);

 private:
  PartialDump(const std::string& archive, const DirectorySink::Options& options,
              const format::DumpHeader& header);

  const std::string archive_;
  const DirectorySink::Options options_;
  cache::l2::FileSystem* const file_system_;
  const std::string id_;
  const std::string directory_;
  DumpCheck check_;
  backup_internal::PackWriter writer_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PARTIAL_DUMP_H_
