// What a replica does with the dumps that reach it: an archive keeps them; a
// live replica applies them to its own L2.
#ifndef LARDER_REPLICATION_DUMP_RECEIVER_H_
#define LARDER_REPLICATION_DUMP_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/dump_check.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"

namespace larder::replication {

// Whose a dump is, and until when it is kept in part.
struct DumpOwner {
  std::string peer;
  std::string lineage;
  backup::format::DumpHeader header;  // As in Hello.
  int64_t expires_unix_ms = 0;
};

// What an Ack says of a dump that is published.
struct PublishedDump {
  backup::format::DumpHeader header;  // With its sources.
  std::string stream_digest;
  uint64_t stored_bytes = 0;
  uint64_t packs = 0;
};

// Takes `step` if whoever sends a dump may still write, and sees to it that
// this stays so meanwhile; else says why not. `step` must be short: who has a
// higher term waits for it.
using FenceFn =
    absl::FunctionRef<absl::Status(absl::FunctionRef<absl::Status()> step)>;

// A dump on its way. Single-owner at any time, from changing threads.
// Destroying it keeps what a DumpReceiver can resume.
class IncomingDump {
 public:
  virtual ~IncomingDump() = default;

  // What has come so far, checked.
  virtual const backup::DumpCheck& check() const = 0;
  // Requires: the payload was checked.
  virtual absl::Status Append(const backup::format::Chunk& chunk) = 0;
  // Makes all of it durable.
  virtual absl::Status Sync() = 0;
  // Lets the dump live until then; durable when it returns.
  virtual absl::Status SetExpiry(int64_t unix_ms) = 0;
  // Makes it visible in one step, which `fence` takes; or, where that is long,
  // asks `fence` directly before it. Requires: check().complete().
  // Errors: kUnavailable: try again later. All others, here and above, and
  // those of `fence`, are final: the dump will be discarded.
  virtual absl::StatusOr<PublishedDump> Publish(FenceFn fence) = 0;
};

// Thread-safe, but one snapshot's Begin(), Resume(), Discard() and dump do not
// overlap: the caller sees to that.
class DumpReceiver {
 public:
  virtual ~DumpReceiver() = default;

  // What a delta can build on (backup::FindDeltaBases): the newest of
  // `lineage`, if any is, else of all; the snapshot `id`, when that is not
  // empty. Errors: kInvalidArgument: not an id.
  virtual absl::StatusOr<std::optional<backup::format::DumpHeader>> Base(
      absl::string_view lineage, absl::string_view id) = 0;
  // The snapshot that the dump `header` has become; nothing, unless it has.
  // Errors: kAlreadyExists: another dump of this id.
  virtual absl::StatusOr<std::optional<PublishedDump>> FindPublished(
      const backup::format::DumpHeader& header) = 0;

  // Begins a dump; forgets what was there of it.
  virtual absl::StatusOr<std::unique_ptr<IncomingDump>> Begin(
      const DumpOwner& owner) = 0;
  // Goes on with one that an IncomingDump, of this process or of an earlier
  // one, left. Errors: kNotFound.
  virtual absl::StatusOr<std::unique_ptr<IncomingDump>> Resume(
      const DumpOwner& owner) = 0;
  // All that Resume() would find.
  virtual absl::StatusOr<std::vector<DumpOwner>> ListKept() = 0;
  // Fine when nothing is there.
  virtual absl::Status Discard(absl::string_view id) = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_DUMP_RECEIVER_H_
