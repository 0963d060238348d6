// Dumps that a replica holds in part, with whose they are.
#ifndef LARDER_REPLICATION_KEPT_DUMPS_H_
#define LARDER_REPLICATION_KEPT_DUMPS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/directory_sink.h"
#include "backup/partial_dump.h"
#include "cache/l2/file.h"
#include "replication/dump_receiver.h"

namespace larder::replication {

// They lie in PLACE/incoming, and beside them the replica's own files (secret,
// term, lock). Thread-safe, as far as DumpReceiver asks.
class KeptDumps {
 public:
  // `place` exists; options.file_system is not null.
  KeptDumps(std::string place, const backup::DirectorySink::Options& options)
      : place_(std::move(place)), options_(options) {}

  // Makes the directories, and takes the lock that one process may have.
  // Errors: kUnavailable: another one has it.
  absl::StatusOr<std::unique_ptr<cache::l2::FileLock>> Claim() const;
  // Where a replica at `place` keeps files of its own.
  static std::string OwnDirectory(absl::string_view place);
  std::string OwnDirectory() const { return OwnDirectory(place_); }

  // As DumpReceiver's, on PartialDump.
  absl::StatusOr<std::unique_ptr<backup::PartialDump>> Begin(
      const DumpOwner& owner) const;
  absl::StatusOr<std::unique_ptr<backup::PartialDump>> Resume(
      const DumpOwner& owner) const;
  absl::StatusOr<std::vector<DumpOwner>> ListKept() const;
  absl::Status Discard(absl::string_view id) const;

  absl::Status WriteOwner(const DumpOwner& owner) const;
  std::string Directory(absl::string_view id) const;

  const std::string& place() const { return place_; }
  cache::l2::FileSystem* file_system() const { return options_.file_system; }

 private:
  absl::StatusOr<DumpOwner> ReadOwner(absl::string_view id) const;

  const std::string place_;
  const backup::DirectorySink::Options options_;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_KEPT_DUMPS_H_
