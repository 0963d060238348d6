#include "cache/verify.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cache/l2/btree.h"
#include "cache/l2/chain.h"
#include "cache/l2/check_chain.h"
#include "cache/l2/check_ordered.h"
#include "cache/l2/file.h"
#include "cache/l2/l2_files.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/record.h"
#include "cache/l2/space_map.h"
#include "cache/l2/stored_synopsis.h"
#include "cache/l2/superblock.h"
#include "cache/l2/system_tree.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "cache/verify_files.h"

namespace larder::cache {
namespace {

using l2::ChildRef;
using l2::Extent;
using l2::Record;
using l2::Tree;

// A file that is only looked at: a map that finds it too short believes that it
// grew.
class UnchangedFile : public l2::File {
 public:
  explicit UnchangedFile(const l2::File* file) : file_(file) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    return file_->ReadAt(offset, out);
  }
  absl::Status WriteAt(uint64_t, absl::string_view) override {
    return absl::FailedPreconditionError(
        absl::StrCat(path(), ": write: is only looked at"));
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Resize(uint64_t) override { return absl::OkStatus(); }
  uint64_t Size() const override { return file_->Size(); }
  absl::StatusOr<const char*> View(uint64_t offset,
                                   uint64_t length) const override {
    return file_->View(offset, length);
  }
  const std::string& path() const override { return file_->path(); }

 private:
  const l2::File* const file_;
};

class Verifier {
 public:
  Verifier(const l2::L2Files& files, const l2::Superblock& superblock,
           VerifyChains chains, absl::FunctionRef<bool()> cancelled)
      : files_(files),
        chains_(chains),
        cancelled_(cancelled),
        superblock_(superblock),
        pages_(files.meta.get(), files.meta->Size() / l2::kPageBytes + 1),
        synopses_(Tree(&pages_, superblock.system)),
        due_entries_(l2::OrderedKind::kDue, Tree(&pages_, superblock.due),
                     Tree(&pages_, superblock.records)),
        age_entries_(l2::OrderedKind::kAge, Tree(&pages_, superblock.age),
                     Tree(&pages_, superblock.records)),
        live_units_(files.blobs->Size() / l2::kUnitBytes + 1, false),
        live_pages_(files.meta->Size() / l2::kPageBytes + 1, false) {
    report_.epoch = superblock.epoch;
    for (uint64_t p = 0; p < l2::kSuperblockPages; ++p) live_pages_[p] = true;
  }

  absl::StatusOr<VerifyReport> Run() {
    LARDER_RETURN_IF_ERROR(ReadMeta());
    CheckSuperblocks();
    for (const auto& [name, root] :
         {std::pair<const char*, ChildRef>{"records", superblock_.records},
          {"due", superblock_.due},
          {"age", superblock_.age},
          {"system", superblock_.system}}) {
      LARDER_RETURN_IF_ERROR(CheckPages(name, root));
    }
    LARDER_RETURN_IF_ERROR(ReadNamespaces());
    LARDER_RETURN_IF_ERROR(CheckTombstones());
    LARDER_RETURN_IF_ERROR(CheckRecords());
    LARDER_RETURN_IF_ERROR(CheckOrdered("due", due_entries_));
    LARDER_RETURN_IF_ERROR(CheckOrdered("age", age_entries_));
    CheckSums();
    LARDER_RETURN_IF_ERROR(CheckSpace());
    return std::move(report_);
  }

 private:
  void Damaged(std::string line) {
    if (report_.damages++ < VerifyReport::kDamagedMax) {
      report_.damaged.push_back(std::move(line));
    }
  }

  // Once without the mapping, which shows zeros where a sector cannot be read:
  // they would pass for a wrong checksum, or unnoticed where nothing is
  // reached.
  absl::Status ReadMeta() const {
    std::string block(size_t{1} << 20, '\0');
    const uint64_t size = files_.meta->Size();
    for (uint64_t at = 0; at < size; at += block.size()) {
      block.resize(std::min<uint64_t>(block.size(), size - at));
      LARDER_RETURN_IF_ERROR(files_.meta->ReadAt(at, absl::MakeSpan(block)));
    }
    return absl::OkStatus();
  }

  // The newest pair must be sound twice.
  void CheckSuperblocks() {
    for (uint64_t copy = 0; copy < 2; ++copy) {
      const uint64_t page = 2 * (superblock_.epoch % 2) + copy;
      bool has_magic;
      const auto s = l2::ReadSuperblock(*files_.meta, page, &has_magic);
      if (!s.ok()) Damaged(std::string(s.status().message()));
    }
  }

  absl::Status CheckPages(const char* name, const ChildRef& root) {
    return Tree(&pages_, root)
        .VisitPages(
            [&](const Tree::PageInfo& page) {
              ++report_.pages;
              if (live_pages_[page.ref.page]) {
                Damaged(absl::StrCat(files_.meta->path(), ": page ",
                                     page.ref.page, ": reached twice"));
              }
              live_pages_[page.ref.page] = true;
            },
            [&](const Tree::Damage& d) {
              Damaged(absl::StrCat(d.status.message(), ": tree `", name,
                                   "`, keys from \"", absl::CHexEscape(d.low),
                                   "\" to \"", absl::CHexEscape(d.high), "\""));
            });
  }

  absl::Status ReadNamespaces() {
    return Tree(&pages_, superblock_.system)
        .WalkDespiteDamage(
            absl::string_view(&l2::kNamespaceTag, 1),
            [&](absl::string_view key, absl::string_view value) {
              if (key[0] != l2::kNamespaceTag) return false;
              ReadNamespace(key.substr(1), value);
              return true;
            },
            [&](const Tree::Damage&) { names_hidden_ = true; });
  }

  void ReadNamespace(absl::string_view name, absl::string_view value) {
    absl::StatusOr<l2::NamespaceEntry> e = l2::DecodeNamespaceEntry(value);
    if (!e.ok()) {
      Damaged(absl::StrCat(files_.meta->path(), ": ", e.status().message()));
      return;
    }
    if (!l2::SynopsisFits(*e, files_.meta->Size())) {
      Damaged(absl::StrCat(files_.meta->path(), ": namespace ",
                           absl::CHexEscape(name), ": synopsis for ",
                           e->synopsis_keys_max, " keys in ",
                           files_.meta->Size(), " bytes"));
      e->synopsis_keys_max = 0;
    }
    if (!spaces_.emplace(e->id, Space{std::string(name), *e}).second) {
      Damaged(absl::StrCat(files_.meta->path(), ": namespace ",
                           absl::CHexEscape(name), ": id ", e->id,
                           ": not unique"));
    }
  }

  // An open refuses what it cannot decode of them.
  absl::Status CheckTombstones() {
    return Tree(&pages_, superblock_.system)
        .WalkDespiteDamage(
            absl::string_view(&l2::kTombstoneTag, 1),
            [&](absl::string_view key, absl::string_view value) {
              uint32_t id;
              bool spent;
              absl::Status status =
                  l2::DecodeTombstoneEntry(key, value, &id, &spent).status();
              if (status.ok() && !names_hidden_ && !spaces_.contains(id)) {
                status =
                    absl::DataLossError(absl::StrCat("unknown namespace ", id));
              }
              if (!status.ok()) {
                Damaged(absl::StrCat(files_.meta->path(), ": tombstone \"",
                                     absl::CHexEscape(key),
                                     "\": ", status.message()));
              }
              return true;
            },
            [](const Tree::Damage&) {});
  }

  absl::Status CheckOrdered(const char* name, const l2::OrderedCheck& check) {
    return check.Run(
        [&](absl::string_view record_key, const std::string& what) {
          Damaged(absl::StrCat(files_.meta->path(), ": tree `", name,
                               "`: ", NameOf(record_key), ": ", what));
        },
        cancelled_);
  }

  std::string NameOf(absl::string_view record_key) const {
    uint32_t id;
    absl::string_view key;
    if (l2::SplitRecordKey(record_key, &id, &key)) {
      if (const auto space = spaces_.find(id); space != spaces_.end()) {
        return absl::StrCat(absl::CHexEscape(space->second.name), "/",
                            absl::CHexEscape(key));
      }
    }
    return absl::StrCat("\"", absl::CHexEscape(record_key), "\"");
  }

  absl::Status CheckRecords() {
    bool stopped = false;
    LARDER_RETURN_IF_ERROR(
        Tree(&pages_, superblock_.records)
            .WalkDespiteDamage(
                "",
                [&](absl::string_view record_key, absl::string_view value) {
                  CheckRecord(record_key, value);
                  stopped = cancelled_();
                  return !stopped;
                },
                [](const Tree::Damage&) {}));
    return stopped ? absl::CancelledError("stopped on request")
                   : absl::OkStatus();
  }

  void CheckRecord(absl::string_view record_key, absl::string_view value) {
    uint32_t id;
    absl::string_view key;
    const absl::StatusOr<Record> record = l2::DecodeRecord(value);
    if (!record.ok() || !l2::SplitRecordKey(record_key, &id, &key)) {
      Damaged(absl::StrCat(files_.meta->path(), ": record \"",
                           absl::CHexEscape(record_key),
                           "\": ", record.status().message()));
      return;
    }
    due_entries_.Add(record_key, *record);
    age_entries_.Add(record_key, *record);
    reached_units_ += record->allocated_units();
    const auto space = spaces_.find(id);
    if (space == spaces_.end()) {
      // What a damaged page hides was said once.
      if (!names_hidden_) {
        Damaged(absl::StrCat(files_.meta->path(), ": record \"",
                             absl::CHexEscape(record_key),
                             "\": unknown namespace ", id));
      }
      const std::string label = absl::StrCat("namespace ", id);
      for (const Extent& e : record->extents) MarkLive(e, label, key);
      return;
    }
    const std::string& name = space->second.name;
    if (synopses_.Lacks(space->second.entry, NameHash(name, key))) {
      Damaged(absl::StrCat(files_.meta->path(), ": record of ",
                           absl::CHexEscape(name), "/", absl::CHexEscape(key),
                           ": its namespace's synopsis lacks the key"));
    }
    ++report_.records;
    raw_bytes_ += record->raw_bytes;
    stored_bytes_ += record->stored_bytes;
    digest_ += l2::DigestTerm(name, key, *record);
    if (DueAtUnixMillis(record->expiry, record->last_access_unix_ms) != 0) {
      ++due_;
    }
    if (!record->extents.empty()) ++report_.chains;
    for (const Extent& e : record->extents) MarkLive(e, name, key);
    if (chains_ == VerifyChains::kTrusted) return;
    if (absl::Status s = l2::CheckChain(*files_.blobs, *record, name, key);
        !s.ok()) {
      Damaged(absl::StrCat(files_.blobs->path(), ": chain at offset ",
                           record->extents.empty()
                               ? 0
                               : record->extents[0].first * l2::kUnitBytes,
                           " of ", absl::CHexEscape(name), "/",
                           absl::CHexEscape(key), ": ", s.message()));
    }
  }

  void MarkLive(Extent e, absl::string_view ns, absl::string_view key) {
    for (uint64_t u = e.first; u < e.first + e.units; ++u) {
      if (u >= live_units_.size() || live_units_[u]) {
        Damaged(absl::StrCat(
            files_.blobs->path(), ": unit ", u, " at offset ",
            u * l2::kUnitBytes, " of ", absl::CHexEscape(ns), "/",
            absl::CHexEscape(key),
            u >= live_units_.size() ? ": beyond the file" : ": used twice"));
        return;
      }
      live_units_[u] = true;
    }
  }

  void CheckSums() {
    report_.digest_ok =
        digest_ == superblock_.content_digest &&
        static_cast<uint64_t>(report_.records) == superblock_.record_count &&
        raw_bytes_ == superblock_.raw_bytes &&
        stored_bytes_ == superblock_.stored_bytes &&
        superblock_.records.entries == superblock_.record_count &&
        superblock_.age.entries == superblock_.record_count &&
        superblock_.due.entries == due_;
  }

  // Holds the allocation map against what is reached.
  absl::Status CheckSpace() {
    report_.accounting_ok = true;
    LARDER_RETURN_IF_ERROR(
        CheckLane(l2::SpaceMap::Lane::kBlobs, superblock_.blob_units,
                  l2::kUnitBytes, live_units_, reached_units_, *files_.blobs));
    return CheckLane(
        l2::SpaceMap::Lane::kMeta, superblock_.meta_pages, l2::kPageBytes,
        live_pages_,
        static_cast<uint64_t>(report_.pages) + l2::kSuperblockPages,
        *files_.meta);
  }

  // `live`: what is reached; `reached`: how often in all. The sum is that of
  // three counts made apart: what is reached twice, or is marked free, is one
  // too many, and part of a unit at the end of the file one too few.
  absl::Status CheckLane(l2::SpaceMap::Lane lane, uint64_t committed_units,
                         uint64_t unit_bytes, const std::vector<bool>& live,
                         uint64_t reached, const l2::File& file) {
    UnchangedFile space(files_.space.get());
    const uint64_t file_bytes = file.Size();
    const uint64_t units = file_bytes / unit_bytes;
    if (units < committed_units) {
      Damaged(absl::StrCat(file.path(), ": ", file_bytes, " bytes: at least ",
                           committed_units * unit_bytes, " were committed"));
    }
    // What a file grew by since the commit need not be mapped yet.
    LARDER_ASSIGN_OR_RETURN(
        const auto committed,
        l2::SpaceMap::Open(&space, lane, std::min(units, committed_units),
                           false));
    if (committed->damaged_sectors() > 0) {
      Damaged(absl::StrCat(files_.space->path(), ": ",
                           committed->damaged_sectors(),
                           " damaged sectors, taken as used"));
    }
    LARDER_ASSIGN_OR_RETURN(const auto map,
                            l2::SpaceMap::Open(&space, lane, units, false));
    uint64_t orphaned = 0, free = 0;
    bool in_orphan = false;
    for (uint64_t u = 0; u < units; ++u) {
      const bool used = map->IsUsed(u);
      if (live[u] && !used) {
        Damaged(absl::StrCat(file.path(), ": unit ", u, " at offset ",
                             u * unit_bytes,
                             ": holds data and is marked free"));
      }
      const bool is_orphan = used && !live[u];
      orphaned += is_orphan ? 1 : 0;
      free += used ? 0 : 1;
      if (lane == l2::SpaceMap::Lane::kBlobs && is_orphan && !in_orphan) {
        ++report_.orphan_runs;
      }
      in_orphan = is_orphan;
    }
    report_.live_bytes += static_cast<int64_t>(reached * unit_bytes);
    report_.orphaned_bytes += static_cast<int64_t>(orphaned * unit_bytes);
    report_.free_bytes += static_cast<int64_t>(free * unit_bytes);
    report_.file_bytes += static_cast<int64_t>(file_bytes);
    report_.accounting_ok &=
        (reached + orphaned + free) * unit_bytes == file_bytes;
    return absl::OkStatus();
  }

  const l2::L2Files& files_;
  const VerifyChains chains_;
  const absl::FunctionRef<bool()> cancelled_;
  const l2::Superblock superblock_;
  const l2::MetaPages pages_;
  VerifyReport report_;
  l2::SynopsisCheck synopses_;
  l2::OrderedCheck due_entries_, age_entries_;
  struct Space {
    std::string name;
    l2::NamespaceEntry entry;
  };
  std::map<uint32_t, Space> spaces_;
  bool names_hidden_ = false;  // By a damaged page: some may be missing.
  std::vector<bool> live_units_, live_pages_;
  uint64_t reached_units_ = 0;  // By records, each as often as it is.
  absl::uint128 digest_ = 0;
  uint64_t raw_bytes_ = 0, stored_bytes_ = 0, due_ = 0;
};

}  // namespace

absl::StatusOr<VerifyReport> VerifyL2(const BlobCacheOptions& options,
                                      absl::FunctionRef<bool()> cancelled) {
  l2::FileSystem* fs = options.file_system != nullptr ? options.file_system
                                                      : l2::PosixFileSystem();
  LARDER_ASSIGN_OR_RETURN(
      const l2::L2Files files,
      l2::OpenL2Files(fs, options.l2_path, /*create=*/false,
                      static_cast<uint64_t>(options.l2_bytes_max)));
  LARDER_ASSIGN_OR_RETURN(const l2::Superblock superblock,
                          l2::ReadNewestSuperblock(*files.meta));
  return VerifyFiles(files, superblock, VerifyChains::kRead, cancelled);
}

absl::StatusOr<VerifyReport> VerifyFiles(const l2::L2Files& files,
                                         const l2::Superblock& superblock,
                                         VerifyChains chains,
                                         absl::FunctionRef<bool()> cancelled) {
  return Verifier(files, superblock, chains, cancelled).Run();
}

}  // namespace larder::cache
