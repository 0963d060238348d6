// One repair, from the superblock down and up again:
//
//   heal       a superblock's twin, pages with one flipped bit; in place
//   survey     what the roots reach, which pages are lost
//   look       at leaves that nothing leads to: what is live on them stays
//   check      every record and chain; nothing was dropped so far
//   build      new trees, on pages that nobody wants
//   publish    map with both states marked -> sync -> superblock -> sync
//   reconcile  map with the new state only
//
// Where the survey and the check find nothing, only the map is reconciled.
#include "cache/repair.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cache/hlc.h"
#include "cache/hydration.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/journal.h"
#include "cache/l2/l2_files.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/page.h"
#include "cache/l2/patient_file.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_ordered.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/repair_records.h"
#include "cache/l2/repair_survey.h"
#include "cache/l2/repair_system.h"
#include "cache/l2/space_map.h"
#include "cache/l2/superblock.h"
#include "cache/status_macros.h"
#include "cache/verify_files.h"

namespace larder::cache {
namespace {

using l2::ChildRef;
using l2::MetaTree;
using l2::PageView;
using l2::PatientFile;
using l2::SpaceMap;
using l2::Superblock;
using l2::Tree;

// That an L2 may lack, and be damaged, but still is one.
constexpr const char* kFileNames[] = {"blobs", "space", "journal-0",
                                      "journal-1"};

// The superblocks of a directory.
struct Superblocks {
  Superblock newest;
  std::vector<Superblock> sound;
  // No copy of the pair of the other parity is sound, though it was written
  // once: it may have been the newest.
  bool pair_is_lost = true;
};

absl::StatusOr<bool> WasNeverWritten(const l2::File& meta, uint64_t page) {
  std::string bytes(l2::kPageBytes, '\0');
  const absl::Status read =
      meta.ReadAt(page * l2::kPageBytes, absl::MakeSpan(bytes));
  if (absl::IsDataLoss(read)) return false;
  LARDER_RETURN_IF_ERROR(read);
  return bytes.find_first_not_of('\0') == std::string::npos;
}

absl::StatusOr<Superblocks> ReadSuperblocks(const l2::File& meta) {
  Superblocks found;
  absl::Status first_bad;
  for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
    bool has_magic;
    absl::StatusOr<Superblock> s = l2::ReadSuperblock(meta, page, &has_magic);
    // Among others a newer format, beside which an older one may stand.
    if (!s.ok() && !absl::IsDataLoss(s.status())) return s.status();
    first_bad.Update(s.status());
    if (!s.ok()) continue;
    if (s->epoch > found.newest.epoch) found.newest = *s;
    found.sound.push_back(*std::move(s));
  }
  if (found.sound.empty()) {
    return absl::DataLossError(absl::StrCat(
        first_bad.message(),
        ": no superblock is sound, so nothing says what this L2 holds: nothing "
        "was changed, only an archive can bring it back"));
  }
  for (uint64_t copy = 0; copy < 2; ++copy) {
    const uint64_t page = 2 * (1 - found.newest.epoch % 2) + copy;
    bool has_magic;
    bool accounted = l2::ReadSuperblock(meta, page, &has_magic).ok();
    if (!accounted && found.newest.epoch == 1) {
      LARDER_ASSIGN_OR_RETURN(accounted, WasNeverWritten(meta, page));
    }
    if (accounted) found.pair_is_lost = false;
  }
  return found;
}

// The files, each asked again before what it cannot read counts as lost.
struct PatientFiles {
  explicit PatientFiles(l2::L2Files files) : all(std::move(files)) {
    using Unreadable = PatientFile::Unreadable;
    const auto wrap = [](std::shared_ptr<l2::File> file, Unreadable unreadable,
                         PatientFile** as) {
      auto patient = std::make_unique<PatientFile>(std::move(file), unreadable);
      *as = patient.get();
      return patient;
    };
    all.meta = wrap(std::move(all.meta), Unreadable::kFails, &meta);
    all.blobs = wrap(std::move(all.blobs), Unreadable::kFails, &blobs);
    // A map takes for used what it cannot read.
    PatientFile* space;
    all.space = wrap(std::move(all.space), Unreadable::kFails, &space);
    for (int i = 0; i < 2; ++i) {
      all.journal[i] = wrap(std::move(all.journal[i]),
                            Unreadable::kReadsAsZeros, &journal[i]);
    }
  }

  l2::L2Files all;
  PatientFile* meta;
  PatientFile* blobs;
  PatientFile* journal[2];
};

class Repairer {
 public:
  Repairer(const BlobCacheOptions& options, PatientFiles* files,
           Superblocks superblocks, absl::FunctionRef<bool()> cancelled)
      : options_(options),
        patient_(*files),
        files_(files->all),
        old_(std::move(superblocks)),
        cancelled_(cancelled) {}

  absl::StatusOr<RepairReport> Run();

 private:
  absl::Status Heal();
  absl::Status FitSize(l2::File* file, uint64_t unit_bytes, uint64_t units);
  absl::Status Examine();
  void ReportLostPages();
  // What the superblock says of the records is what they are.
  bool SumsAgree() const;
  bool MustCommit() const;
  absl::Status BuildAndPublish();
  uint64_t NextEpoch() const;
  // Adds to `live_pages_`. Errors: kDataLoss, if it `must_be_whole`.
  absl::Status KeepReached(const Superblock& root, bool must_be_whole);
  absl::Status LookAtMap();
  // Makes the map mark what is live, and nothing else if `release`.
  absl::Status Reconcile(bool release);
  absl::Status ReconcileLane(SpaceMap::Lane lane, const std::vector<bool>& live,
                             uint64_t unit_bytes, bool release);
  absl::Status ZeroUnreadable();
  absl::Status GiveUpHydration();

  const Superblock& old() const { return old_.newest; }
  // None of the mutations of `epoch` and before is newer.
  Hlc HlcOf(uint64_t epoch) const;

  const BlobCacheOptions& options_;
  const PatientFiles& patient_;
  l2::L2Files& files_;
  const Superblocks old_;
  const absl::FunctionRef<bool()> cancelled_;
  RepairReport report_;

  std::vector<l2::JournalEntry> journal_;
  std::unique_ptr<l2::RepairPages> pages_;
  l2::Survey survey_;
  std::unique_ptr<l2::SystemRepair> system_;
  std::unique_ptr<l2::OrderedRepair> due_, age_;
  std::unique_ptr<l2::RecordsRepair> records_;
  bool commit_is_lost_ = false;

  Superblock new_;  // What is to be published, or the old one.
  // Pages that the trees of `new_` reach, superblocks among them; and while
  // both count, those of the old ones, too.
  std::vector<bool> live_pages_;
};

Hlc Repairer::HlcOf(uint64_t epoch) const {
  Hlc hlc = old().hlc;
  for (const Superblock& s : old_.sound) {
    if (s.epoch >= epoch) hlc = std::min(hlc, s.hlc);
  }
  return hlc;
}

// --- Looking.

// Gives `file` whole units, and no fewer than `units` of them. What a shortened
// file lost reads as zeros, which no checksum matches.
absl::Status Repairer::FitSize(l2::File* file, uint64_t unit_bytes,
                               uint64_t units) {
  const uint64_t size = file->Size();
  if (size >= units * unit_bytes) {
    const uint64_t part = size % unit_bytes;
    if (part == 0) return absl::OkStatus();
    report_.Damaged(absl::StrCat(file->path(), ": ends with ", part,
                                 " bytes of a unit of ", unit_bytes));
    return file->Resize(size - part);
  }
  report_.Damaged(absl::StrCat(file->path(), ": ", size, " bytes: at least ",
                               units * unit_bytes, " were committed"));
  return file->Resize(units * unit_bytes);
}

absl::Status Repairer::Heal() {
  LARDER_RETURN_IF_ERROR(
      FitSize(files_.meta.get(), l2::kPageBytes, old().meta_pages));
  LARDER_RETURN_IF_ERROR(
      FitSize(files_.blobs.get(), l2::kUnitBytes, old().blob_units));
  for (uint64_t copy = 0; copy < 2; ++copy) {
    const uint64_t page = 2 * (old().epoch % 2) + copy;
    bool has_magic;
    const auto s = l2::ReadSuperblock(*files_.meta, page, &has_magic);
    if (s.ok()) continue;
    report_.Damaged(std::string(s.status().message()));
    ++report_.rewritten_superblocks;
  }
  if (old_.pair_is_lost) {
    const uint64_t page = 2 * (1 - old().epoch % 2);
    report_.Damaged(absl::StrCat(
        files_.meta->path(), ": pages ", page, " and ", page + 1,
        ": no copy of their superblock is sound; if it was newer than epoch ",
        old().epoch, ", its commit is lost"));
  }
  if (report_.rewritten_superblocks > 0) {
    LARDER_RETURN_IF_ERROR(l2::WriteSuperblock(old(), files_.meta.get()));
  }
  const uint64_t budget =
      static_cast<uint64_t>(std::max<int64_t>(options_.l2_bytes_max, 0));
  const uint64_t others = files_.blobs->Size() + files_.space->Size() +
                          files_.journal[0]->Size() + files_.journal[1]->Size();
  pages_ = std::make_unique<l2::RepairPages>(
      files_.meta.get(),
      (budget > others ? budget - others : 0) / l2::kPageBytes);
  LARDER_RETURN_IF_ERROR(pages_->FindUnreadable());
  LARDER_ASSIGN_OR_RETURN(
      survey_, l2::SurveyTrees(old(), files_.meta.get(), pages_.get()));
  report_.mended_pages = static_cast<int64_t>(survey_.mended.size());
  // What the last process wrote may not be there for good, either, and the
  // repair builds on it.
  LARDER_RETURN_IF_ERROR(files_.blobs->Sync());
  return files_.meta->Sync();
}

void Repairer::ReportLostPages() {
  for (const uint64_t page : survey_.mended) {
    report_.Damaged(absl::StrCat(files_.meta->path(), ": at offset ",
                                 page * l2::kPageBytes, ": page ", page,
                                 ": one flipped bit"));
  }
  for (const l2::Survey::LostPage& lost : survey_.lost) {
    report_.Damaged(absl::StrCat(lost.damage.status.message(), ": tree `",
                                 l2::NameOf(lost.tree), "`, keys from \"",
                                 absl::CHexEscape(lost.damage.low), "\" to \"",
                                 absl::CHexEscape(lost.damage.high), "\""));
  }
}

absl::Status Repairer::Examine() {
  LARDER_RETURN_IF_ERROR(Heal());
  ReportLostPages();
  LARDER_ASSIGN_OR_RETURN(
      journal_, l2::Journal(files_.journal[0].get(), files_.journal[1].get(), 0)
                    .ReadAfter(old().epoch));
  system_ = std::make_unique<l2::SystemRepair>(
      pages_.get(), old().system, old().next_namespace_id,
      [this](uint64_t epoch) { return HlcOf(epoch); }, files_.meta->Size(),
      &report_);
  LARDER_RETURN_IF_ERROR(system_->Read(survey_, journal_));
  due_ = std::make_unique<l2::OrderedRepair>(l2::OrderedKind::kDue,
                                             pages_.get(), old().due,
                                             survey_.IsWhole(MetaTree::kDue));
  age_ = std::make_unique<l2::OrderedRepair>(l2::OrderedKind::kAge,
                                             pages_.get(), old().age,
                                             survey_.IsWhole(MetaTree::kAge));
  LARDER_RETURN_IF_ERROR(due_->Read());
  LARDER_RETURN_IF_ERROR(age_->Read());
  records_ = std::make_unique<l2::RecordsRepair>(
      l2::RecordsRepair::Setting{files_.blobs.get(), pages_.get(),
                                 system_.get(), due_.get(), age_.get(),
                                 &report_},
      survey_, old().records, old().age);
  if (!survey_.IsWhole(MetaTree::kRecords) || !system_->lost().empty()) {
    pages_->ForEachLostLeaf([&](const ChildRef& ref, const PageView& leaf) {
      const bool has_names = system_->NoteLostLeaf(ref, leaf);
      // A second repair, if this one is cut short, needs it as well.
      if (records_->NoteLostLeaf(ref, leaf) || has_names)
        pages_->Keep(ref.page);
    });
  }
  LARDER_RETURN_IF_ERROR(
      system_->ResolveNames(Tree(pages_.get(), old().records), *files_.blobs));
  // Entries of an epoch overwrite those of the last but one, which a commit
  // held then.
  commit_is_lost_ =
      old_.pair_is_lost &&
      std::any_of(journal_.begin(), journal_.end(), [&](const auto& entry) {
        return entry.epoch >= old().epoch + 3;
      });
  if (commit_is_lost_) {
    report_.Damaged(absl::StrCat(files_.meta->path(),
                                 ": the commit after epoch ", old().epoch,
                                 " is lost, and with it invalidations"));
    system_->InvalidateAll(std::max(old().hlc, journal_.back().tombstone.hlc));
  }
  LARDER_RETURN_IF_ERROR(records_->Check(cancelled_));
  system_->SetCounts(records_->counts());
  return LookAtMap();
}

bool Repairer::SumsAgree() const {
  const l2::RecordsRepair::Totals& t = records_->totals();
  return t.digest == old().content_digest &&
         t.counts.records == old().record_count &&
         t.counts.raw_bytes == old().raw_bytes &&
         t.counts.stored_bytes == old().stored_bytes &&
         t.counts.records == old().records.entries &&
         t.counts.records == old().age.entries && t.due == old().due.entries;
}

bool Repairer::MustCommit() const {
  // It puts its superblock in the place of the pair of the other parity.
  bool pair_is_bad = old_.pair_is_lost;
  for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
    pair_is_bad |= pages_->unreadable()[page];
  }
  return pair_is_bad || records_->changed() || system_->changed() ||
         !due_->Matches() || !age_->Matches() || !SumsAgree();
}

// --- Writing.

// As an open chooses it: after whatever the journal holds, and not in the place
// of the superblock that this starts from. An epoch that was lost may have been
// seen elsewhere.
uint64_t Repairer::NextEpoch() const {
  uint64_t epoch = old().epoch + (old_.pair_is_lost ? 2 : 1);
  for (const l2::JournalEntry& entry : journal_) {
    epoch = std::max(epoch, entry.epoch + 1);
  }
  return (epoch - old().epoch) % 2 == 0 ? epoch + 1 : epoch;
}

absl::Status Repairer::BuildAndPublish() {
  new_.epoch = NextEpoch();
  if (old_.pair_is_lost) {
    report_.new_lineage = true;
    // Not the one that the same seed once gave it.
    new_.lineage = l2::NewLineage(
        options_.random_seed == 0 ? 0 : options_.random_seed + new_.epoch);
    new_.ancestors.insert(new_.ancestors.begin(), old().lineage);
    if (new_.ancestors.size() > l2::kAncestorsMax) new_.ancestors.pop_back();
  }
  system_->ApplyJournal(journal_);
  for (const l2::JournalEntry& entry : journal_) {
    new_.hlc = std::max(new_.hlc, entry.tombstone.hlc);
  }
  LARDER_ASSIGN_OR_RETURN(new_.records, records_->Build(new_.epoch));
  system_->SetCounts(records_->counts());
  const Tree records(pages_.get(), new_.records);
  LARDER_ASSIGN_OR_RETURN(new_.system, system_->Build(records, new_.epoch));
  bool rebuilt;
  LARDER_ASSIGN_OR_RETURN(new_.due, due_->Build(records, new_.epoch, &rebuilt));
  if (rebuilt) report_.rebuilt_trees.push_back("due");
  LARDER_ASSIGN_OR_RETURN(new_.age, age_->Build(records, new_.epoch, &rebuilt));
  if (rebuilt) report_.rebuilt_trees.push_back("age");
  const l2::RecordsRepair::Totals& t = records_->totals();
  new_.record_count = t.counts.records;
  new_.raw_bytes = t.counts.raw_bytes;
  new_.stored_bytes = t.counts.stored_bytes;
  new_.content_digest = t.digest;
  new_.next_namespace_id = system_->next_id();
  new_.meta_pages = files_.meta->Size() / l2::kPageBytes;
  new_.blob_units = files_.blobs->Size() / l2::kUnitBytes;
  new_.unsynced = false;
  // Also what only the old state needs: until the superblock is safe it counts.
  live_pages_.assign(pages_->count(), false);
  LARDER_RETURN_IF_ERROR(KeepReached(old(), /*must_be_whole=*/false));
  LARDER_RETURN_IF_ERROR(KeepReached(new_, /*must_be_whole=*/true));
  LARDER_RETURN_IF_ERROR(Reconcile(/*release=*/false));
  LARDER_RETURN_IF_ERROR(files_.space->Sync());
  LARDER_RETURN_IF_ERROR(files_.meta->Sync());
  LARDER_RETURN_IF_ERROR(l2::WriteSuperblock(new_, files_.meta.get()));
  return files_.meta->Sync();
}

absl::Status Repairer::KeepReached(const Superblock& root, bool must_be_whole) {
  absl::Status bad;
  for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
    live_pages_[page] = true;
  }
  for (const ChildRef& tree : {root.system, root.records, root.due, root.age}) {
    LARDER_RETURN_IF_ERROR(Tree(pages_.get(), tree)
                               .VisitPages(
                                   [&](const Tree::PageInfo& page) {
                                     live_pages_[page.ref.page] = true;
                                   },
                                   [&](const Tree::Damage& damage) {
                                     bad.Update(damage.status);
                                   }));
  }
  return must_be_whole ? bad : absl::OkStatus();
}

absl::Status Repairer::Reconcile(bool release) {
  LARDER_RETURN_IF_ERROR(ReconcileLane(
      SpaceMap::Lane::kBlobs, records_->live_units(), l2::kUnitBytes, release));
  return ReconcileLane(SpaceMap::Lane::kMeta, live_pages_, l2::kPageBytes,
                       release);
}

absl::Status Repairer::ReconcileLane(SpaceMap::Lane lane,
                                     const std::vector<bool>& live,
                                     uint64_t unit_bytes, bool release) {
  LARDER_ASSIGN_OR_RETURN(
      const auto map,
      SpaceMap::Open(files_.space.get(), lane, live.size(), false));
  for (uint64_t unit = 0; unit < live.size(); ++unit) {
    const bool used = map->IsUsed(unit);
    if (live[unit] && !used) {
      map->MarkUsed({unit, 1});
    } else if (release && used && !live[unit]) {
      map->Release({unit, 1});
      report_.freed_bytes += static_cast<int64_t>(unit_bytes);
    }
  }
  return map->FlushDirty();
}

// What the map says of what is live now.
absl::Status Repairer::LookAtMap() {
  live_pages_.assign(pages_->count(), false);
  LARDER_RETURN_IF_ERROR(KeepReached(old(), /*must_be_whole=*/false));
  const auto look = [&](SpaceMap::Lane lane, const std::vector<bool>& live,
                        uint64_t committed, uint64_t unit_bytes) {
    const uint64_t units = std::min<uint64_t>(live.size(), committed);
    const auto map =
        SpaceMap::Open(files_.space.get(), lane, units, /*fresh=*/false);
    LARDER_RETURN_IF_ERROR(map.status());
    if ((*map)->damaged_sectors() > 0) {
      report_.Damaged(absl::StrCat(files_.space->path(), ": ",
                                   (*map)->damaged_sectors(),
                                   " damaged sectors, taken as used"));
    }
    for (uint64_t unit = 0; unit < units; ++unit) {
      if (live[unit] && !(*map)->IsUsed(unit)) {
        report_.marked_bytes += static_cast<int64_t>(unit_bytes);
      }
    }
    return absl::OkStatus();
  };
  LARDER_RETURN_IF_ERROR(look(SpaceMap::Lane::kBlobs, records_->live_units(),
                              old().blob_units, l2::kUnitBytes));
  LARDER_RETURN_IF_ERROR(look(SpaceMap::Lane::kMeta, live_pages_,
                              old().meta_pages, l2::kPageBytes));
  if (report_.marked_bytes > 0) {
    report_.Damaged(absl::StrCat(files_.space->path(), ": ",
                                 report_.marked_bytes,
                                 " bytes in use are marked free"));
  }
  return absl::OkStatus();
}

// A sector that cannot be read is replaced by the disk when it is written. What
// nothing lives on is written here, before a put or a verify meets it.
absl::Status Repairer::ZeroUnreadable() {
  bool meta_changed = false;
  for (uint64_t page = 0; page < pages_->count(); ++page) {
    if (live_pages_[page] || !pages_->unreadable()[page]) continue;
    LARDER_ASSIGN_OR_RETURN(
        const bool wrote,
        patient_.meta->ZeroUnreadable(page * l2::kPageBytes, l2::kPageBytes,
                                      l2::kPageBytes));
    meta_changed |= wrote;
  }
  if (meta_changed) LARDER_RETURN_IF_ERROR(files_.meta->Sync());
  for (PatientFile* journal : patient_.journal) {
    constexpr uint64_t kSector = PatientFile::kSectorBytes;
    LARDER_ASSIGN_OR_RETURN(
        const bool wrote, journal->ZeroUnreadable(
                              0, journal->Size() / kSector * kSector, kSector));
    if (!wrote) continue;
    report_.Damaged(absl::StrCat(journal->path(), ": could not be read"));
    report_.lost_journals.push_back(journal->path());
    LARDER_RETURN_IF_ERROR(journal->Sync());
  }
  // By what the system reads at a time.
  constexpr uint64_t kBlockUnits = l2::kPageBytes / l2::kUnitBytes;
  const std::vector<bool>& live = records_->live_units();
  for (const l2::Extent& e : records_->damaged_extents()) {
    for (uint64_t first = e.first / kBlockUnits * kBlockUnits;
         first < e.first + e.units && first + kBlockUnits <= live.size();
         first += kBlockUnits) {
      const auto begin = live.begin() + static_cast<ptrdiff_t>(first);
      if (std::find(begin, begin + kBlockUnits, true) != begin + kBlockUnits) {
        continue;
      }
      LARDER_RETURN_IF_ERROR(patient_.blobs
                                 ->ZeroUnreadable(first * l2::kUnitBytes,
                                                  l2::kPageBytes,
                                                  l2::kPageBytes)
                                 .status());
    }
  }
  return absl::OkStatus();
}

// Markers may be among what is lost. Before the commit: none of it may be there
// while somebody can still add what they kept out.
absl::Status Repairer::GiveUpHydration() {
  l2::FileSystem* const fs = options_.file_system != nullptr
                                 ? options_.file_system
                                 : l2::PosixFileSystem();
  const absl::StatusOr<std::optional<Hlc>> floor =
      ReadHydration(fs, options_.l2_path);
  if (floor.ok() && !floor->has_value()) return absl::OkStatus();
  if (absl::IsDataLoss(floor.status())) {
    report_.Damaged(std::string(floor.status().message()));
  } else {
    LARDER_RETURN_IF_ERROR(floor.status());
  }
  report_.ended_hydration = true;
  return EndHydration(fs, options_.l2_path);
}

absl::StatusOr<RepairReport> Repairer::Run() {
  report_.epoch_before = old().epoch;
  new_ = old();
  LARDER_RETURN_IF_ERROR(Examine());
  if (!SumsAgree() && report_.damages == 0 && report_.dropped_records == 0) {
    report_.Damaged(absl::StrCat(files_.meta->path(),
                                 ": superblock: counts or digest are not those "
                                 "of the records"));
  }
  if (MustCommit()) {
    LARDER_RETURN_IF_ERROR(GiveUpHydration());
    LARDER_RETURN_IF_ERROR(BuildAndPublish());
  }
  report_.epoch = new_.epoch;
  live_pages_.assign(pages_->count(), false);
  LARDER_RETURN_IF_ERROR(KeepReached(new_, /*must_be_whole=*/true));
  LARDER_RETURN_IF_ERROR(Reconcile(/*release=*/true));
  LARDER_RETURN_IF_ERROR(files_.space->Sync());
  LARDER_RETURN_IF_ERROR(ZeroUnreadable());
  LARDER_ASSIGN_OR_RETURN(
      report_.after,
      VerifyFiles(files_, new_, VerifyChains::kTrusted, [] { return false; }));
  return std::move(report_);
}

}  // namespace

absl::StatusOr<RepairReport> RepairL2(const BlobCacheOptions& options,
                                      absl::FunctionRef<bool()> cancelled) {
  l2::FileSystem* fs = options.file_system != nullptr ? options.file_system
                                                      : l2::PosixFileSystem();
  // Without its other files an L2 is damaged; without `meta` it is none.
  if (!fs->Exists(options.l2_path + "/meta")) {
    return absl::NotFoundError(absl::StrCat(options.l2_path, ": holds no L2"));
  }
  const bool is_whole = std::all_of(
      std::begin(kFileNames), std::end(kFileNames), [&](const char* name) {
        return fs->Exists(absl::StrCat(options.l2_path, "/", name));
      });
  LARDER_ASSIGN_OR_RETURN(
      l2::L2Files opened,
      l2::OpenL2Files(fs, options.l2_path, /*create=*/true,
                      static_cast<uint64_t>(options.l2_bytes_max)));
  if (!is_whole) LARDER_RETURN_IF_ERROR(fs->SyncDirectory(options.l2_path));
  PatientFiles files(std::move(opened));
  LARDER_ASSIGN_OR_RETURN(Superblocks superblocks,
                          ReadSuperblocks(*files.meta));
  return Repairer(options, &files, std::move(superblocks), cancelled).Run();
}

}  // namespace larder::cache
