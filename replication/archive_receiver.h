// A replica that keeps dumps in an archive.
#ifndef LARDER_REPLICATION_ARCHIVE_RECEIVER_H_
#define LARDER_REPLICATION_ARCHIVE_RECEIVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backup/directory_sink.h"
#include "cache/l2/file.h"
#include "replication/dump_receiver.h"

namespace larder::replication {

class ArchiveReceiver {
 public:
  // Makes `path` an archive, unless it is one, and holds
  // a lock in OwnDirectory(), so that no other replica receives into it.
  // Errors: kUnavailable when one does; as DirectorySink.
  static absl::StatusOr<std::unique_ptr<DumpReceiver>> Open(
      std::string path, backup::DirectorySink::Options options);

  // Where a replica keeps files of its own (secret, term); exists once it is
  // open.
  static std::string OwnDirectory(const std::string& path);
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_ARCHIVE_RECEIVER_H_
