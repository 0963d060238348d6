// What a model run does, as plain values: a run can be written down, cut, and
// run again.
#ifndef LARDER_TESTS_MODEL_OPERATION_H_
#define LARDER_TESTS_MODEL_OPERATION_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::tests {

// One step. A plain value. Nothing in it depends on the steps before it, so
// that any of them can be left out: what it chooses among (snapshots, hits,
// dumps) it names by a number of which the remainder counts. Zero is the plain
// case of each field.
struct Operation {
  enum class Kind : uint8_t {
    // Of one key, or what has a name.
    kPut,
    kCompareAndSet,
    kGet,
    kExists,
    kLoad,
    kDelete,
    kPrefix,
    kTag,
    kDependency,
    kFlush,
    // Maintenance.
    kSweepL1,
    kSweepDue,
    kSweepTombstoned,
    kReclaim,
    kCommit,
    kAdvance,
    // What is held meanwhile.
    kSnapshot,
    kEndSnapshot,
    kHold,
    kLetGo,
    // Lives.
    kCrash,
    kReopen,
    kBackup,
    kRestore,
  };
  Kind kind = Kind::kGet;

  uint64_t ns = 0;
  uint64_t name = 0;  // Of the key, prefix, tag or dependency.

  // Of what is put.
  uint64_t content = 0;     // As for ContentOf().
  uint64_t expires_in = 0;  // In ms; 0: never.
  uint64_t idle_ms = 0;
  uint64_t stale_ms = 0;
  uint64_t version = 0;
  uint64_t l1_admission = 0;
  uint64_t tag = 0;         // One more than its number; 0: none.
  uint64_t dependency = 0;  // The same.
  uint64_t metadata = 0;    // Its bytes; 0: none.
  // Of a compare-and-set: one more than the version; 0: the right one.
  uint64_t expected = 0;
  // Of a load: what its loader does meanwhile.
  enum Inside : uint64_t { kNothing, kDeletesIt, kInvalidatesItsPrefix };
  uint64_t inside = 0;
  uint64_t inside_sweep = 0;  // A limit; 0: does not sweep.

  // Of a get: also of a part, when `length` is not 0.
  uint64_t offset = 0;
  uint64_t length = 0;

  uint64_t limit = 0;  // Of a sweep: 0 is one entry. Of a reclaim: slices.
  uint64_t ms = 0;     // Of an advance.
  uint64_t which = 0;  // Of what is held, or in the archive.

  // Of a crash; and, where `dies` is not 0, of the opening after a reopen, of
  // a backup and of a restore: the process dies at the so-manieth operation of
  // the disk from here.
  uint64_t dies = 0;
  uint64_t at_archive = 0;  // Of the archive's disk instead.
  uint64_t power = 0;       // Its power is cut, too.
  uint64_t seed = 0;        // What is left of what was not synced; also ids.
  uint64_t deaths = 0;      // How often recovering from it dies, too.

  uint64_t durability = 0;  // From a reopen or a restore on.
  uint64_t shape = 0;       // Of a dump: sizes of ranges, chunks and packs.
  uint64_t aside = 0;       // A restore that is looked at and thrown away.

  friend bool operator==(const Operation&, const Operation&) = default;
};
using Operations = std::vector<Operation>;

// The kind, then what is not 0: "put ns=1 name=7 content=99".
std::string FormatOperation(const Operation& operation);
// Errors: kInvalidArgument.
absl::StatusOr<Operation> ParseOperation(absl::string_view line);
// For GoogleTest.
inline void PrintTo(const Operation& operation, std::ostream* out) {
  *out << FormatOperation(operation);
}

// The fields that are not 0, to be tried with 0.
std::vector<uint64_t Operation::*> FieldsInUse(const Operation& operation);

}  // namespace larder::tests

#endif  // LARDER_TESTS_MODEL_OPERATION_H_
