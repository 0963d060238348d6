// What an archive (a directory of dumps) holds.
#ifndef LARDER_BACKUP_ARCHIVE_H_
#define LARDER_BACKUP_ARCHIVE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "cache/l2/file.h"

namespace larder::backup {

// One snapshot as its manifest tells, or fails to.
struct SnapshotEntry {
  std::string id;
  // Not OK: the manifest cannot be read (kDataLoss), or only by a newer
  // version (kFailedPrecondition); `manifest` is empty then.
  absl::Status status;
  // All packs are there, in their size (nothing is read from them).
  bool complete = false;
  std::string incomplete_reason;
  // kDataLoss, or what the file system says of a pack that may be sound.
  absl::StatusCode incomplete_code = absl::StatusCode::kOk;
  format::Manifest manifest;
  int64_t bytes = 0;  // Of manifest and packs.
  // Deltas from the full dump up to this one; 0: it is one. A delta is complete
  // only when all below it are.
  int deltas = 0;
};

// How many of these are not sealed, and that in words for who has keys.
int64_t DumpsInTheClear(const std::vector<SnapshotEntry>& chain);
std::string TellInTheClear(const std::vector<SnapshotEntry>& chain);

// Thread-compatible. Reads only, and needs no permission to write; takes no
// lock: what a manifest speaks of never changes. Borrows `file_system` (null:
// PosixFileSystem()).
class Archive {
 public:
  using Keys = std::shared_ptr<const crypto::KeyRing>;

  // `keys` open what of it is sealed; null: what they would open can be listed
  // and checked, not read.
  // Errors: kNotFound; kFailedPrecondition when it is not a directory.
  static absl::StatusOr<Archive> Open(std::string path,
                                      cache::l2::FileSystem* file_system,
                                      Keys keys = nullptr);

  // For a dump that is in no archive yet: its packs lie in `directory`, and
  // whoever reads them has its manifest. It lists nothing.
  static Archive OfPacks(std::string directory,
                         cache::l2::FileSystem* file_system,
                         Keys keys = nullptr);

  // Every snapshot with a manifest, readable or not, oldest first.
  absl::StatusOr<std::vector<SnapshotEntry>> List() const;

  // What a restore of `entry` has to read: the full dump, then the deltas on
  // it, up to `entry`. Errors: kDataLoss naming the first one that is not there
  // or unreadable.
  absl::StatusOr<std::vector<SnapshotEntry>> Chain(
      const SnapshotEntry& entry) const;

  // The snapshot `id`, or, when empty, the newest complete one.
  // Errors: kNotFound; for an `id`, what its entry's status says; when none is
  // complete, why the newest is not.
  absl::StatusOr<SnapshotEntry> Find(absl::string_view id) const;
  // The newest complete one of those made no later than `unix_ms`: no change to
  // a cache from after that is in it.
  // Errors: kNotFound; when none of these is complete, why the newest is not.
  absl::StatusOr<SnapshotEntry> FindAt(int64_t unix_ms) const;

  const std::string& path() const { return path_; }
  cache::l2::FileSystem* file_system() const { return file_system_; }
  // What opens the chunks of a dump. Header and trailer are believed only once
  // their signature was checked: locked, kDataLoss, when it is wrong; locked,
  // kFailedPrecondition, without the key.
  format::DumpSeal SealOf(const format::Manifest& manifest) const;
  bool has_keys() const { return keys_ != nullptr; }
  std::string ManifestPath(absl::string_view id) const;
  std::string PackPath(absl::string_view pack_name) const;
  // That a pack is missing means damage only while this is OK.
  // Errors: kUnavailable: none is there, as when a disk is not mounted.
  absl::Status CheckThere() const;

 private:
  Archive(std::string path, std::string packs_path,
          cache::l2::FileSystem* file_system, Keys keys)
      : path_(std::move(path)),
        packs_path_(std::move(packs_path)),
        file_system_(file_system),
        keys_(std::move(keys)) {}

  // Whether it is there, in its size.
  void CheckPack(const format::Pack& pack, SnapshotEntry* entry) const;
  // What the own files of each snapshot say, read once.
  using Read = absl::node_hash_map<std::string, SnapshotEntry>;
  const SnapshotEntry& ReadOwn(const std::string& id, Read* read) const;
  SnapshotEntry ReadEntry(const std::string& id, Read* read) const;
  // From the full dump up to `entry`.
  absl::StatusOr<std::vector<const SnapshotEntry*>> ReadChain(
      const SnapshotEntry& entry, Read* read) const;

  std::string path_;
  std::string packs_path_;
  cache::l2::FileSystem* file_system_;
  Keys keys_;  // Null: none.
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_ARCHIVE_H_
