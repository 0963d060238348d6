// A disk in memory that fails, lies, loses its power and its process on demand.
#ifndef LARDER_CACHE_L2_SIMULATED_DISK_H_
#define LARDER_CACHE_L2_SIMULATED_DISK_H_

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "cache/l2/simulated_content.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// What a power cut may lose: a write until the file's next Sync(), by sectors
// of 512 bytes; a created, removed or renamed entry until its directory's next
// SyncDirectory(). A rename is atomic and lost or kept as a whole; entries are
// otherwise lost independently of each other, in no order. This is the least
// that POSIX promises: file systems keep more.
//
// Thread-safe. Paths are taken from the root, which exists; ".." is refused by
// a CHECK. Must outlive what it hands out.
class SimulatedDisk : public FileSystem {
 public:
  enum class OperationKind {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kResize,
    kLock,
    kCreateDirectories,
    kSyncDirectory,
    kRemove,
    kRename,
    kList,
  };
  // One call that may fail. View(), Size() and Exists() are none.
  struct Operation {
    uint64_t index = 0;  // Counts from 0 over the life of the disk.
    OperationKind kind = OperationKind::kOpen;
    std::string path;     // Of a rename: from where.
    uint64_t offset = 0;  // Of reads and writes.
    uint64_t length = 0;  // Of reads and writes; the new size of a resize.
  };

  // What goes wrong in one operation.
  struct Fault {
    enum class Kind {
      kNone,
      // Fails with `error_number` and does nothing, except that a failed sync
      // also loses what it should have written (see SimulatedContent).
      kFail,
      // A write that writes `prefix_bytes`, then fails. Otherwise as kFail.
      kShortWrite,
      // A write that goes to `offset` instead and succeeds; lost when it does
      // not fit there. Otherwise as kNone.
      kMisdirect,
      // A write or sync that succeeds and does nothing. Otherwise as kNone.
      kLie,
    };
    static Fault Fail(int error_number) { return {Kind::kFail, error_number}; }
    static Fault ShortWrite(uint64_t prefix_bytes, int error_number) {
      return {Kind::kShortWrite, error_number, prefix_bytes};
    }
    static Fault Misdirect(uint64_t offset) {
      return {Kind::kMisdirect, 0, 0, offset};
    }
    static Fault Lie() { return {Kind::kLie}; }

    Kind kind = Kind::kNone;
    int error_number = EIO;
    uint64_t prefix_bytes = 0;
    uint64_t offset = 0;
  };

  // Runs before each operation, without a lock: it may call the disk, also
  // KillProcess() and PowerCut(). What it returns, if not OK, the operation
  // returns, and does nothing.
  using Hook = std::function<absl::Status(const Operation&)>;
  // Says what goes wrong in an operation. Runs after the hook, without a lock.
  using FaultScript = std::function<Fault(const Operation&)>;

  SimulatedDisk();
  ~SimulatedDisk() override;

  // FileSystem.
  absl::StatusOr<std::unique_ptr<File>> Open(
      const std::string& path, const OpenOptions& options) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status CreatePrivateDirectories(const std::string& path) override {
    return CreateDirectories(path);
  }
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status Remove(const std::string& path) override;
  // Many operations: of kList and kRemove.
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override;
  bool Exists(const std::string& path) override;

  // Faults. A null function removes the previous one.
  void SetHook(Hook hook) ABSL_LOCKS_EXCLUDED(mu_);
  void SetFaultScript(FaultScript script) ABSL_LOCKS_EXCLUDED(mu_);
  // For one operation, before the script is asked.
  void InjectFault(uint64_t operation_index, Fault fault)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Writes to sectors that were never written fail with ENOSPC past it.
  void SetCapacityBytes(uint64_t capacity_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Damages a byte at rest, whether it is synced or not.
  // Errors: kNotFound; kOutOfRange.
  absl::Status FlipBit(const std::string& path, uint64_t offset, int bit)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The page of 4,096 bytes around `offset` cannot be read any more, whether it
  // is synced or not: reads of it, and writes of a part of it, fail with EIO,
  // and views show zeros, until all of it is written. Errors as FlipBit().
  absl::Status LosePage(const std::string& path, uint64_t offset)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Operations begun so far, so the index of the next one.
  uint64_t operation_count() const ABSL_LOCKS_EXCLUDED(mu_);
  // Of sectors in use.
  uint64_t allocated_bytes() const { return allocated_bytes_; }

  // Ends the process: what was written stays, open files and locks are dead
  // (kInternal; their views stay readable).
  void KillProcess() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the process and the power: the disk becomes one of the states that
  // its unsynced operations may leave, drawn by `seed`. What survived is
  // durable.
  void PowerCut(uint64_t seed) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class OpenFile;
  class HeldLock;
  struct Node;
  // Entry `name` of `directory` becomes `target`; null: is removed.
  struct Edit {
    std::shared_ptr<Node> directory;
    std::string name;
    std::shared_ptr<Node> target;
  };
  using Change = std::vector<Edit>;  // One edit; of a rename, two. Atomic.
  // Where a path leads.
  struct Place {
    std::shared_ptr<Node> directory;  // Null for the root.
    std::string name;
    std::shared_ptr<Node> node;  // Null when there is nothing.
    int error = 0;               // Why the directory cannot be reached.
  };

  std::shared_ptr<Node> MakeDirectory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static bool IsWithin(const Node& directory, const Node* node);
  static int RenameError(const Place& source, const Place& target);
  // Counts the operation, runs the hook and finds the fault.
  absl::StatusOr<Fault> Begin(Operation operation) ABSL_LOCKS_EXCLUDED(mu_);
  // Begin() for what has no fault of its own: kFail and kShortWrite are errors
  // named `action`.
  absl::StatusOr<Fault> BeginPath(OperationKind kind, const std::string& path,
                                  absl::string_view action)
      ABSL_LOCKS_EXCLUDED(mu_);
  Place Find(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::shared_ptr<Node>> FindDirectory(
      const std::string& path, absl::string_view action) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The regular file at `path`, made when `create` and absent.
  absl::StatusOr<std::shared_ptr<Node>> FindFile(const std::string& path,
                                                 absl::string_view action,
                                                 bool create)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The file with `offset` in it, to be damaged there.
  absl::StatusOr<std::shared_ptr<Node>> FindByte(const std::string& path,
                                                 absl::string_view action,
                                                 uint64_t offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Reserve(const std::string& path, Node& node, uint64_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WriteLocked(const std::string& path, SimulatedContent& content,
                           uint64_t offset, absl::string_view data,
                           const Fault& fault)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Apply(Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeDurable(const Node* directory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndProcess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Outlives the nodes, which count in it.
  std::atomic<uint64_t> allocated_bytes_{0};
  mutable Mutex mu_;
  std::shared_ptr<Node> root_ ABSL_GUARDED_BY(mu_);
  std::vector<std::weak_ptr<Node>> directories_ ABSL_GUARDED_BY(mu_);
  // Entries that are not durable, oldest first.
  std::vector<Change> changes_ ABSL_GUARDED_BY(mu_);
  // Counts deaths: what was handed out before the last one is dead.
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<const Node*> locked_ ABSL_GUARDED_BY(mu_);
  // Open files that may hold views: their memory must not move.
  std::map<const Node*, int> viewers_ ABSL_GUARDED_BY(mu_);
  uint64_t operation_count_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t capacity_bytes_ ABSL_GUARDED_BY(mu_) = UINT64_MAX;
  std::map<uint64_t, Fault> faults_ ABSL_GUARDED_BY(mu_);
  Hook hook_ ABSL_GUARDED_BY(mu_);
  FaultScript script_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SIMULATED_DISK_H_
