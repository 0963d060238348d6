#include "cache/l2/repair_system.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/chain.h"
#include "cache/l2/commit_merge.h"
#include "cache/l2/record.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/synopsis_builder.h"
#include "cache/l2/tree_builder.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {
namespace {

// How many records of a namespace are asked whose they are: the first chain
// that is sound tells.
constexpr int kProofTriesMax = 64;

uint64_t ChunksFor(uint64_t keys_max) {
  return keys_max == 0 ? 0 : SynopsisShape(keys_max).chunks();
}

}  // namespace

SystemRepair::SystemRepair(RepairPages* pages, const ChildRef& root,
                           uint32_t next_id,
                           std::function<Hlc(uint64_t epoch)> hlc_of,
                           uint64_t meta_bytes, RepairReport* report)
    : pages_(pages),
      root_(root),
      next_id_(next_id),
      hlc_of_(std::move(hlc_of)),
      meta_bytes_(meta_bytes),
      report_(report),
      synopses_(Tree(pages, root)) {}

// --- What can be read.

absl::Status SystemRepair::Read(const Survey& survey,
                                const std::vector<JournalEntry>& journal) {
  for (const Survey::LostPage& page : survey.lost) {
    if (page.tree != MetaTree::kSystem) continue;
    is_whole_ = false;
    lost_.Add(page.damage.low, page.damage.high,
              hlc_of_(page.damage.ref.epoch));
  }
  LARDER_RETURN_IF_ERROR(
      Tree(pages_, root_)
          .WalkDespiteDamage(
              "",
              [&](absl::string_view key, absl::string_view value) {
                ReadEntry(key, value);
                return true;
              },
              [](const Tree::Damage&) {}));
  for (auto& [id, space] : spaces_) {
    space.synopsis_is_bad |=
        space.synopsis_chunks != ChunksFor(space.entry.synopsis_keys_max);
  }
  for (const JournalEntry& entry : journal) {
    candidates_.try_emplace(entry.tombstone.ns);
  }
  return absl::OkStatus();
}

void SystemRepair::ReadEntry(absl::string_view key, absl::string_view value) {
  // Namespaces come first. Without all of them, what belongs to others may
  // still be good.
  const auto is_of_space = [&](uint32_t id) {
    return spaces_.contains(id) || lost_.AnyMayBeFlushed().has_value();
  };
  bool good = false;
  uint32_t id = 0, chunk;
  if (key.substr(0, 1) == absl::string_view(&kNamespaceTag, 1)) {
    good = ReadNamespace(key.substr(1), value);
  } else if (key.substr(0, 1) == absl::string_view(&kSynopsisTag, 1)) {
    good = SplitSynopsisEntryKey(key, &id, &chunk) && is_of_space(id);
    if (good && !ReadChunk(id, chunk, value)) {
      spaces_[id].synopsis_is_bad = true;
    }
  } else if (key == kReplicaKey) {
    good = true;
  } else {
    bool spent;
    good =
        DecodeTombstoneEntry(key, value, &id, &spent).ok() && is_of_space(id);
  }
  if (good) return;
  if (key.substr(0, 1) == absl::string_view(&kNamespaceTag, 1)) {
    candidates_.try_emplace(std::string(key.substr(1)));
  }
  has_bad_entries_ = true;
  report_->Damaged(absl::StrCat(pages_->path(), ": system tree: entry \"",
                                absl::CHexEscape(key.substr(0, 64)),
                                "\": impossible"));
  // What it said is lost, as if its page were.
  lost_.Add(key, absl::StrCat(key, absl::string_view("\0", 1)),
            hlc_of_(root_.epoch));
}

bool SystemRepair::ReadNamespace(absl::string_view name,
                                 absl::string_view value) {
  const absl::StatusOr<NamespaceEntry> e = DecodeNamespaceEntry(value);
  if (!e.ok() || !ValidateNamespace(name).ok() || spaces_.contains(e->id)) {
    return false;
  }
  Space& space = spaces_[e->id];
  space.name = std::string(name);
  space.entry = *e;
  next_id_ = std::max(next_id_, e->id + 1);
  // An open refuses such a one.
  if (!SynopsisFits(*e, meta_bytes_)) {
    report_->Damaged(absl::StrCat(pages_->path(), ": system tree: namespace ",
                                  absl::CHexEscape(name), ": synopsis for ",
                                  e->synopsis_keys_max, " keys in ",
                                  meta_bytes_, " bytes"));
    space.entry.synopsis_keys_max = 0;
    space.synopsis_is_bad = true;
  }
  return true;
}

// Returns: false when the chunk is none of its namespace's synopsis.
bool SystemRepair::ReadChunk(uint32_t id, uint32_t chunk,
                             absl::string_view value) {
  const auto space = spaces_.find(id);
  if (space == spaces_.end()) return true;
  const uint64_t keys_max = space->second.entry.synopsis_keys_max;
  if (keys_max == 0) return false;
  const SynopsisShape shape(keys_max);
  if (chunk >= shape.chunks() || value.size() != shape.ChunkBytes(chunk)) {
    return false;
  }
  ++space->second.synopsis_chunks;
  return true;
}

// --- Names that are lost.

bool SystemRepair::NoteLostLeaf(const ChildRef& ref, const PageView& leaf) {
  if (!lost_.AnyMayBeFlushed().has_value()) return false;
  bool noted = false;
  for (int i = 0; i < leaf.size(); ++i) {
    const absl::string_view key = leaf.key(i);
    if (key.substr(0, 1) != absl::string_view(&kNamespaceTag, 1)) continue;
    const absl::string_view name = key.substr(1);
    const absl::StatusOr<NamespaceEntry> e =
        DecodeNamespaceEntry(leaf.value(i));
    if (!e.ok() || !ValidateNamespace(name).ok() ||
        FindNamed(name) != nullptr) {
      continue;
    }
    Candidate& c = candidates_[std::string(name)];
    if (ref.epoch >= c.epoch) {
      c.id = e->id;
      c.epoch = ref.epoch;
    }
    c.generation = std::max(c.generation, e->generation);
    c.flushed_at = std::max(c.flushed_at, e->flushed_at);
    noted = true;
  }
  return noted;
}

absl::Status SystemRepair::ResolveNames(const Tree& records,
                                        const File& blobs) {
  std::set<uint32_t> in_use;
  std::optional<uint32_t> found;
  uint64_t next = 0;
  do {
    found.reset();
    LARDER_RETURN_IF_ERROR(records.WalkDespiteDamage(
        RecordKey(static_cast<uint32_t>(next), ""),
        [&](absl::string_view record_key, absl::string_view) {
          uint32_t id;
          absl::string_view key;
          if (!SplitRecordKey(record_key, &id, &key)) return true;
          found = id;
          return false;
        },
        [](const Tree::Damage&) {}));
    if (!found.has_value()) break;
    in_use.insert(*found);
    next = uint64_t{*found} + 1;
  } while (next <= std::numeric_limits<uint32_t>::max());

  for (const uint32_t id : in_use) {
    if (id == 0) continue;
    // Not given out again, whoever it belonged to.
    next_id_ = std::max(next_id_, id + 1);
    if (spaces_.contains(id)) continue;
    const std::optional<std::string> name =
        NameProvenByChain(records, blobs, id);
    if (name.has_value()) AddLost(*name, id);
  }
  // Those without records: so that their generations go on.
  for (const auto& [name, c] : candidates_) {
    if (c.id != 0 && !spaces_.contains(c.id) && !in_use.contains(c.id) &&
        FindNamed(name) == nullptr && lost_.MayBeFlushed(name).has_value()) {
      AddLost(name, c.id);
    }
  }
  NoteForgottenTombstones();
  return absl::OkStatus();
}

// What they cover is dropped here; snapshots must not let older ones bring it
// back.
void SystemRepair::NoteForgottenTombstones() {
  for (auto& [id, space] : spaces_) {
    const std::optional<Hlc> lost = lost_.MayHaveHadTombstones(id);
    if (!lost.has_value() || *lost <= space.entry.forgotten_through) continue;
    space.entry.forgotten_through = *lost;
    space.changed = true;
  }
}

std::optional<std::string> SystemRepair::NameProvenByChain(const Tree& records,
                                                           const File& blobs,
                                                           uint32_t id) const {
  std::optional<std::string> proven;
  int tries = 0;
  const absl::Status walked = records.WalkDespiteDamage(
      RecordKey(id, ""),
      [&](absl::string_view record_key, absl::string_view value) {
        uint32_t of;
        absl::string_view key;
        if (!SplitRecordKey(record_key, &of, &key) || of != id) return false;
        const absl::StatusOr<Record> record = DecodeRecord(value);
        if (!record.ok() || record->header_bytes == 0) return true;
        const ChainReader chain(&blobs, &*record, ChainReader::Access::kCopy);
        for (const auto& [name, c] : candidates_) {
          if (chain.Header(NameHash(name, key)).ok()) proven = name;
        }
        return !proven.has_value() && ++tries < kProofTriesMax;
      },
      [](const Tree::Damage&) {});
  if (!walked.ok() || (proven.has_value() && FindNamed(*proven) != nullptr)) {
    return std::nullopt;
  }
  return proven;
}

void SystemRepair::AddLost(const std::string& name, uint32_t id) {
  if (!ValidateNamespace(name).ok()) return;
  const Candidate& c = candidates_[name];
  const Hlc through = lost_.MayBeFlushed(name).value_or(
      lost_.AnyMayBeFlushed().value_or(hlc_of_(root_.epoch)));
  Space& space = spaces_[id];
  space.name = name;
  space.entry.id = id;
  // Each flush has an HLC of its own, so there were not more of them.
  space.entry.generation = std::max(c.generation, through.value);
  space.entry.flushed_at = std::max(c.flushed_at, through);
  space.changed = true;
  space.lost_through = through;
  space.synopsis_is_bad = true;
  next_id_ = std::max(next_id_, id + 1);
  report_->invalidated.push_back({name, through});
}

void SystemRepair::InvalidateAll(Hlc through) {
  for (auto& [id, space] : spaces_) {
    if (space.lost_through.has_value() && *space.lost_through >= through) {
      continue;
    }
    if (!space.lost_through.has_value()) {
      report_->invalidated.push_back({space.name, through});
    }
    space.entry.generation = std::max(space.entry.generation, through.value);
    space.entry.flushed_at = std::max(space.entry.flushed_at, through);
    space.changed = true;
    space.lost_through = through;
  }
}

void SystemRepair::CheckSynopsis(uint32_t id, absl::string_view key) {
  const auto found = spaces_.find(id);
  if (found == spaces_.end() || found->second.synopsis_is_bad) return;
  Space& space = found->second;
  if (!synopses_.Lacks(space.entry, NameHash(space.name, key))) return;
  space.synopsis_is_bad = true;
  report_->Damaged(
      absl::StrCat(pages_->path(), ": system tree: synopsis of namespace ",
                   absl::CHexEscape(space.name), " lacks keys, among them ",
                   absl::CHexEscape(key)));
}

// --- Answers.

const SystemRepair::Space* SystemRepair::Find(uint32_t id) const {
  const auto space = spaces_.find(id);
  return space == spaces_.end() ? nullptr : &space->second;
}

const SystemRepair::Space* SystemRepair::FindNamed(
    absl::string_view name) const {
  for (const auto& [id, space] : spaces_) {
    if (space.name == name) return &space;
  }
  return nullptr;
}

void SystemRepair::SetCounts(const std::map<uint32_t, Counts>& counts) {
  for (auto& [id, space] : spaces_) {
    const auto found = counts.find(id);
    const Counts c = found == counts.end() ? Counts() : found->second;
    NamespaceEntry& e = space.entry;
    space.changed |= e.records != c.records || e.raw_bytes != c.raw_bytes ||
                     e.stored_bytes != c.stored_bytes;
    e.records = c.records;
    e.raw_bytes = c.raw_bytes;
    e.stored_bytes = c.stored_bytes;
  }
}

bool SystemRepair::MustPrune() const {
  return !is_whole_ || has_bad_entries_ ||
         std::any_of(spaces_.begin(), spaces_.end(), [](const auto& space) {
           return space.second.synopsis_is_bad;
         });
}

bool SystemRepair::changed() const {
  return MustPrune() ||
         std::any_of(spaces_.begin(), spaces_.end(),
                     [](const auto& space) { return space.second.changed; });
}

// --- The new tree.

SystemRepair::Space* SystemRepair::FindOrAdd(const std::string& name) {
  for (auto& [id, space] : spaces_) {
    if (space.name == name) return &space;
  }
  const uint32_t id = next_id_++;
  Space& space = spaces_[id];
  space.name = name;
  space.entry.id = id;
  space.changed = true;
  return &space;
}

void SystemRepair::ApplyJournal(const std::vector<JournalEntry>& journal) {
  for (const JournalEntry& entry : journal) {
    const Tombstone& t = entry.tombstone;
    if (!ValidateNamespace(t.ns).ok()) continue;
    ++report_->applied_journal_entries;
    Space* space = FindOrAdd(t.ns);
    switch (t.kind) {
      case TombstoneKind::kKey:
        removed_keys_.insert(RecordKey(space->entry.id, t.value));
        break;
      case TombstoneKind::kNamespace:
        space->entry.generation =
            std::max(space->entry.generation, entry.generation);
        space->entry.flushed_at = std::max(space->entry.flushed_at, t.hlc);
        space->changed = true;
        break;
      default: {
        Hlc& hlc = new_tombstones_[TombstoneEntryKey(space->entry.id, t)];
        hlc = std::max(hlc, t.hlc);
        break;
      }
    }
  }
}

bool SystemRepair::KeepEntry(absl::string_view key,
                             absl::string_view value) const {
  const absl::string_view tag = key.substr(0, 1);
  uint32_t id, chunk;
  if (tag == absl::string_view(&kNamespaceTag, 1)) {
    const absl::StatusOr<NamespaceEntry> e = DecodeNamespaceEntry(value);
    if (!e.ok()) return false;
    const Space* space = Find(e->id);
    return space != nullptr && space->name == key.substr(1);
  }
  if (tag == absl::string_view(&kSynopsisTag, 1)) {
    if (!SplitSynopsisEntryKey(key, &id, &chunk)) return false;
    const Space* space = Find(id);
    return space != nullptr && !space->synopsis_is_bad;
  }
  if (key == kReplicaKey) return true;
  bool spent;
  return DecodeTombstoneEntry(key, value, &id, &spent).ok() &&
         Find(id) != nullptr;
}

absl::StatusOr<ChildRef> SystemRepair::Build(const Tree& records,
                                             uint64_t epoch) {
  ChildRef root = root_;
  if (MustPrune()) {
    LARDER_ASSIGN_OR_RETURN(
        root, PruneTree(pages_, pages_, root_, epoch,
                        [&](absl::string_view key, absl::string_view value) {
                          return KeepEntry(key, value);
                        }));
  }
  for (auto& [id, space] : spaces_) {
    if (!space.synopsis_is_bad) continue;
    LARDER_ASSIGN_OR_RETURN(root, RebuildSynopsis(id, records, root, epoch));
  }
  TreeChanges changes;
  for (const auto& [id, space] : spaces_) {
    if (!space.changed) continue;
    changes.Put(NamespaceEntryKey(space.name),
                EncodeNamespaceEntry(space.entry));
  }
  for (const auto& [key, hlc] : new_tombstones_) {
    LARDER_ASSIGN_OR_RETURN(const auto old, Tree(pages_, root).Find(key));
    uint32_t id;
    bool spent;
    if (old.has_value() &&
        DecodeTombstoneEntry(key, *old, &id, &spent)->hlc >= hlc) {
      continue;
    }
    Tombstone t;
    t.hlc = hlc;
    changes.Put(key, EncodeTombstoneEntry(t, /*spent=*/false));
  }
  return changes.Apply(pages_, pages_, root, epoch);
}

absl::StatusOr<ChildRef> SystemRepair::RebuildSynopsis(uint32_t id,
                                                       const Tree& records,
                                                       const ChildRef& system,
                                                       uint64_t epoch) {
  Space& space = spaces_[id];
  space.changed = true;
  space.entry.synopsis_keys_max = 0;
  space.entry.synopsis_keys = 0;
  ++report_->rebuilt_synopses;
  if (space.entry.records == 0) return system;
  LARDER_ASSIGN_OR_RETURN(
      const SynopsisBuilder built,
      BuildSynopsis(records, id, space.name, space.entry.records));
  space.entry.synopsis_keys_max = built.shape().keys_max();
  space.entry.synopsis_keys = space.entry.records;
  TreeChanges changes;
  for (uint64_t i = 0; i < built.shape().chunks(); ++i) {
    changes.Put(SynopsisEntryKey(id, static_cast<uint32_t>(i)), built.Chunk(i));
  }
  return changes.Apply(pages_, pages_, system, epoch);
}

}  // namespace larder::cache::l2
