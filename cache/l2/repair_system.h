// The system tree of a damaged L2: what it says of namespaces, tombstones and
// synopses, what it may have said, and the tree that takes its place.
#ifndef LARDER_CACHE_L2_REPAIR_SYSTEM_H_
#define LARDER_CACHE_L2_REPAIR_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/journal.h"
#include "cache/l2/lost_invalidations.h"
#include "cache/l2/page.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/repair_survey.h"
#include "cache/l2/stored_synopsis.h"
#include "cache/l2/system_tree.h"
#include "cache/repair_report.h"

namespace larder::cache::l2 {

// Single-owner. Used in this order: Read(); NoteLostLeaf() for each leaf that
// nothing leads to; ResolveNames(); then questions are answered, and synopses
// checked; SetCounts() of each namespace; ApplyJournal() and Build().
//
// Memory: the namespaces, the names found on lost leaves, the journal's
// entries, and the synopsis of one namespace.
class SystemRepair {
 public:
  struct Space {
    std::string name;
    NamespaceEntry entry;  // As it is to be.
    bool changed = false;  // Differs from what the tree holds.
    // Its entry was lost, and with it any flush up to here.
    std::optional<Hlc> lost_through;
    bool synopsis_is_bad = false;
    uint64_t synopsis_chunks = 0;  // That are sound.
  };
  // What namespaces hold, as counted.
  struct Counts {
    uint64_t records = 0;
    uint64_t raw_bytes = 0;
    uint64_t stored_bytes = 0;
  };

  // `hlc_of`: none of an epoch's mutations is newer. `meta_bytes`: no synopsis
  // has more.
  SystemRepair(RepairPages* pages, const ChildRef& root, uint32_t next_id,
               std::function<Hlc(uint64_t epoch)> hlc_of, uint64_t meta_bytes,
               RepairReport* report);

  absl::Status Read(const Survey& survey,
                    const std::vector<JournalEntry>& journal);
  // Returns: whether it may help to name a namespace.
  bool NoteLostLeaf(const ChildRef& ref, const PageView& leaf);
  // Gives the names that are lost back to whoever a chain says they belong to.
  absl::Status ResolveNames(const Tree& records, const File& blobs);
  // Everything may have been flushed up to here.
  void InvalidateAll(Hlc through);

  // Of each record that stays: its key must be in its namespace's synopsis.
  void CheckSynopsis(uint32_t id, absl::string_view key);

  // Null for a namespace that nobody can name.
  const Space* Find(uint32_t id) const;
  const LostInvalidations& lost() const { return lost_; }

  void SetCounts(const std::map<uint32_t, Counts>& counts);
  // Whether the tree must be written anew.
  bool changed() const;

  // What a commit would make of them.
  void ApplyJournal(const std::vector<JournalEntry>& journal);
  // Keys in the records tree that the journal removes.
  const std::set<std::string, std::less<>>& removed_keys() const {
    return removed_keys_;
  }
  // The new tree. `records`: the new one.
  absl::StatusOr<ChildRef> Build(const Tree& records, uint64_t epoch);
  uint32_t next_id() const { return next_id_; }

 private:
  // A namespace that some page, or the journal, once had.
  struct Candidate {
    uint32_t id = 0;  // 0: not told.
    uint64_t epoch = 0;
    uint64_t generation = 0;
    Hlc flushed_at;
  };
  void ReadEntry(absl::string_view key, absl::string_view value);
  bool ReadNamespace(absl::string_view name, absl::string_view value);
  bool ReadChunk(uint32_t id, uint32_t chunk, absl::string_view value);
  bool MustPrune() const;
  bool KeepEntry(absl::string_view key, absl::string_view value) const;
  const Space* FindNamed(absl::string_view name) const;
  std::optional<std::string> NameProvenByChain(const Tree& records,
                                               const File& blobs,
                                               uint32_t id) const;
  void AddLost(const std::string& name, uint32_t id);
  void NoteForgottenTombstones();
  Space* FindOrAdd(const std::string& name);
  absl::StatusOr<ChildRef> RebuildSynopsis(uint32_t id, const Tree& records,
                                           const ChildRef& system,
                                           uint64_t epoch);

  RepairPages* const pages_;
  const ChildRef root_;
  uint32_t next_id_;
  const std::function<Hlc(uint64_t epoch)> hlc_of_;
  const uint64_t meta_bytes_;
  RepairReport* const report_;

  bool is_whole_ = true;
  bool has_bad_entries_ = false;
  LostInvalidations lost_;
  SynopsisCheck synopses_;
  std::map<uint32_t, Space> spaces_;
  std::map<std::string, Candidate> candidates_;
  std::map<std::string, Hlc> new_tombstones_;  // By their key in the tree.
  std::set<std::string, std::less<>> removed_keys_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_SYSTEM_H_
