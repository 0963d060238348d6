// A sink that keeps dumps in a directory, an *archive*.
#ifndef LARDER_BACKUP_DIRECTORY_SINK_H_
#define LARDER_BACKUP_DIRECTORY_SINK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/format/dump.pb.h"
#include "backup/sink.h"
#include "cache/l2/file.h"

namespace larder::backup {

// Layout (docs/formats/dump.md, "archive"): `packs/ID-NNNNNN.pack`, immutable;
// `manifests/ID.manifest`, written last, by rename; `lock`, held through a
// dump. Packs that no manifest speaks of are leftovers of a dump that was cut
// short: never listed, removed by the next Begin().
//
// What it creates, only this user may read: private files may be among what is
// backed up.
//
// Errors, besides those of SnapshotSink: kUnavailable (locked),
// kFailedPrecondition (the directory holds something else), kResourceExhausted
// (disk full), kDataLoss (EIO), each naming file and offset.
class DirectorySink : public SnapshotSink {
 public:
  struct Options {
    // A pack is closed once it is this large. 16 to 64 MiB: few files, and
    // what one damaged or missing file costs stays small.
    int64_t pack_bytes = 32 << 20;
    // Off: a power cut may cost the dump, also after Finish(). For benchmarks.
    bool sync = true;
    cache::l2::FileSystem* file_system = nullptr;  // Null: PosixFileSystem().
  };

  // Creates the directory when Begin() needs it.
  static std::unique_ptr<SnapshotSink> Create(std::string path,
                                              Options options);

  // Makes `path` an archive, unless it is one, as Begin() does.
  static absl::Status CreateArchive(std::string path, Options options);

  // Takes the step that makes a dump visible, or says why not.
  using PublishFn =
      absl::FunctionRef<absl::Status(absl::FunctionRef<absl::Status()> step)>;
  // For who has nobody to ask.
  static absl::Status Always(absl::FunctionRef<absl::Status()> step) {
    return step();
  }

  // Publishes a dump whose packs lie, complete and synced, in the directory
  // `from` of the same file system: moves them here. `manifest` is as for
  // Finish(). After an error they are back in `from`; after a crash, each is
  // at one of the two places. Errors: also those of `publish`.
  static absl::StatusOr<SinkReceipt> Adopt(
      std::string path, Options options, const std::string& from,
      const format::Manifest& manifest, const std::vector<format::Pack>& packs,
      PublishFn publish);
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_DIRECTORY_SINK_H_
