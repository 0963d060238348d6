#include "backup/verify.h"

#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/dump.pb.h"
#include "backup/format/message.h"
#include "backup/internal/cache_reader.h"
#include "backup/internal/delta_applier.h"
#include "backup/internal/dump_reader.h"
#include "backup/internal/file_reader.h"
#include "backup/internal/file_target.h"
#include "backup/internal/lease.h"
#include "backup/internal/leftovers.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/pack_check.h"
#include "backup/internal/pack_frames.h"
#include "backup/verification.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::CacheReader;
using backup_internal::DeltaApplier;
using backup_internal::FileReader;
using backup_internal::LossReporter;

// Takes records and keeps nothing; the reader has checked them.
class NullLoader : public cache::L2Loader {
 public:
  absl::Status Begin(const cache::StoredRecord&) override {
    return absl::OkStatus();
  }
  absl::Status AppendFrame(absl::string_view) override {
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abandon() override {}
  absl::Status StartDelta() override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view, absl::string_view, absl::string_view,
      absl::Span<const uint64_t>,
      absl::FunctionRef<void(absl::string_view)>) override {
    return 0;
  }
  absl::StatusOr<cache::SnapshotInfo> Close() override {
    return cache::SnapshotInfo();
  }
};

// Compares what was read of one source with what the manifest counted.
template <typename Reader>
void CheckCounts(const format::SourceInfo& info, int64_t expected,
                 int64_t at_source, const Reader& reader,
                 const backup_internal::ProblemFn& problem) {
  const auto& counts = reader.counts();
  // What the source itself could not give is known, and no damage.
  if (counts.restored == expected && counts.lost == at_source) return;
  problem(absl::DataLossError(absl::StrFormat(
      "source %s: %d whole, %d lost vs expected %d whole, %d left out",
      info.name(), counts.restored, counts.lost, expected, at_source)));
}

// What was found of each pack that was looked at, by what a manifest expects of
// it: several may refer to it.
using PacksFound = absl::flat_hash_map<std::string, absl::Status>;

class SnapshotCheck {
 public:
  SnapshotCheck(const Archive& archive, const SnapshotEntry& entry,
                const VerifyOptions& options, SnapshotVerdict* verdict)
      : archive_(archive),
        entry_(entry),
        manifest_(entry.manifest),
        options_(options),
        verdict_(verdict),
        losses_(&verdict->lost, options.losses_listed_max, nullptr),
        frames_(&archive_, &manifest_) {}

  // Both: errors are only what stops the verification as a whole. `progress`
  // is told the bytes of each step.
  absl::Status ReadAll(const std::function<void(int64_t)>& progress);
  // Heads of all packs, and all of those in `sample`; not again what is in
  // `*found`, to which it adds.
  absl::Status LookAtPacks(const absl::flat_hash_set<std::string>& sample,
                           const std::function<void(int64_t)>& progress,
                           PacksFound* found);
  // Whether what it builds on is there.
  void CheckComplete();

 private:
  void Problem(const absl::Status& status);
  void AddReaders(backup_internal::SourceReaders* readers);
  absl::Status CheckSources();

  const Archive& archive_;
  const SnapshotEntry& entry_;
  const format::Manifest& manifest_;
  const VerifyOptions& options_;
  SnapshotVerdict* const verdict_;
  LossReporter losses_;
  NullLoader loader_;
  backup_internal::NullFileTarget file_target_;
  backup_internal::PackFrames frames_;
  // By source; the other one of each pair is null.
  std::vector<std::unique_ptr<DeltaApplier>> deltas_;  // Of those below.
  std::vector<std::unique_ptr<CacheReader>> cache_readers_;
  std::vector<std::unique_ptr<FileReader>> file_readers_;
};

void SnapshotCheck::Problem(const absl::Status& status) {
  constexpr size_t kProblemsMax = 1000;
  if (verdict_->status.ok()) verdict_->status = status;
  if (verdict_->problems.size() < kProblemsMax) {
    verdict_->problems.emplace_back(status.message());
  }
}

void SnapshotCheck::AddReaders(backup_internal::SourceReaders* readers) {
  const auto problem = [this](const absl::Status& s) { Problem(s); };
  for (int i = 0; i < manifest_.header().sources_size(); ++i) {
    const format::SourceInfo& info = manifest_.header().sources(i);
    const format::SourceEnd& end = manifest_.trailer().sources(i);
    cache_readers_.emplace_back();
    file_readers_.emplace_back();
    // A source that failed has no counts that anything could match.
    if (end.status_code() != 0) continue;
    if (info.kind() == format::SOURCE_KIND_BLOB_CACHE) {
      if (info.cache().base_epoch() != 0) {
        deltas_.push_back(std::make_unique<DeltaApplier>(
            info.name(), std::vector<std::string>(), &loader_, &losses_));
      }
      cache_readers_.back() = std::make_unique<CacheReader>(
          info.name(), &end.totals(), &loader_, /*newer=*/nullptr, &losses_,
          info.cache().base_epoch() != 0 ? deltas_.back().get() : nullptr,
          &frames_, problem);
      (*readers)[static_cast<uint16_t>(i)] = cache_readers_.back().get();
    } else if (info.kind() == format::SOURCE_KIND_DIRECTORY) {
      file_readers_.back() = std::make_unique<FileReader>(
          info.name(), &end.totals(), &file_target_, &losses_, problem);
      (*readers)[static_cast<uint16_t>(i)] = file_readers_.back().get();
    }
  }
}

absl::Status SnapshotCheck::CheckSources() {
  const auto problem = [this](const absl::Status& s) { Problem(s); };
  for (int i = 0; i < manifest_.header().sources_size(); ++i) {
    const format::SourceInfo& info = manifest_.header().sources(i);
    const format::SourceTotals& totals =
        manifest_.trailer().sources(i).totals();
    const size_t at = static_cast<size_t>(i);
    if (cache_readers_[at] != nullptr) {
      CheckCounts(info, totals.records(),
                  totals.records_begun() - totals.records(),
                  *cache_readers_[at], problem);
      verdict_->records += cache_readers_[at]->counts().restored;
      backup_internal::InvalidationSet set;
      const absl::Status read = backup_internal::ReadInvalidations(
          archive_, manifest_, static_cast<uint16_t>(i),
          [](const absl::Status&) {}, options_.cancellation, &set);
      if (absl::IsCancelled(read)) return read;
      if (!read.ok()) Problem(read);
    }
    if (file_readers_[at] != nullptr) {
      CheckCounts(info, totals.files(), totals.files_begun() - totals.files(),
                  *file_readers_[at], problem);
      verdict_->files += file_readers_[at]->counts().restored;
    }
  }
  return absl::OkStatus();
}

absl::Status SnapshotCheck::ReadAll(
    const std::function<void(int64_t)>& progress) {
  const absl::Status sealed = archive_.SealOf(manifest_).status();
  verdict_->not_opened = absl::IsFailedPrecondition(sealed);
  if (verdict_->not_opened) {
    verdict_->not_opened_reason = std::string(sealed.message());
    verdict_->key_id_needed =
        crypto::PrintKeyId(manifest_.header().encryption().key_id());
  }
  backup_internal::SourceReaders readers;
  if (!verdict_->not_opened) AddReaders(&readers);
  int64_t bytes_before = 0;
  const auto step = [&](int64_t bytes_done) {
    progress(bytes_done - bytes_before);
    bytes_before = bytes_done;
  };
  const absl::Status read =
      backup_internal::ReadDump(archive_, manifest_, readers,
                                {.read_all = true,
                                 .keep_sealed = verdict_->not_opened,
                                 .progress = step,
                                 .cancellation = options_.cancellation},
                                [this](const absl::Status& s) { Problem(s); });
  if (absl::IsCancelled(read)) return read;
  if (!read.ok()) {
    Problem(read);
    return absl::OkStatus();
  }
  verdict_->bytes_read = entry_.bytes;
  verdict_->packs_read = manifest_.packs_size();
  verdict_->chunks = static_cast<int64_t>(manifest_.trailer().chunks() + 1);
  return verdict_->not_opened ? absl::OkStatus() : CheckSources();
}

absl::Status SnapshotCheck::LookAtPacks(
    const absl::flat_hash_set<std::string>& sample,
    const std::function<void(int64_t)>& progress, PacksFound* found) {
  const auto look = [&](const format::Pack& pack,
                        const format::DumpHeader* owner) {
    const auto [it, is_new] =
        found->try_emplace(format::SerializeMessage(pack));
    absl::Status& status = it->second;
    if (is_new) {
      status = backup_internal::CheckPackHead(archive_, pack, owner);
      verdict_->bytes_read += static_cast<int64_t>(format::kPackHeadBytes);
      if (status.ok() && sample.contains(pack.name())) {
        status = backup_internal::CheckPackBytes(
            archive_, pack, options_.cancellation, [&](int64_t piece) {
              verdict_->bytes_read += piece;
              progress(piece);
            });
        if (absl::IsCancelled(status)) return status;
        ++verdict_->packs_read;
      }
    }
    if (!status.ok()) Problem(status);
    return absl::OkStatus();
  };
  for (const format::Pack& pack : manifest_.packs()) {
    LARDER_RETURN_IF_ERROR(look(pack, &manifest_.header()));
  }
  for (const format::Pack& pack : manifest_.references()) {
    LARDER_RETURN_IF_ERROR(look(pack, nullptr));
  }
  return absl::OkStatus();
}

void SnapshotCheck::CheckComplete() {
  if (entry_.complete || !verdict_->status.ok()) return;
  Problem(absl::Status(entry_.incomplete_code, entry_.incomplete_reason));
}

// All that one call is about.
class Verification {
 public:
  Verification(const Archive& archive, const VerifyOptions& options)
      : archive_(archive), options_(options) {}

  absl::Status Run();
  VerifyReport Take() { return std::move(report_); }

 private:
  absl::Status Choose();
  template <typename Fn>
  void ForEachPack(Fn fn) const;
  void ChooseSample();
  absl::Status Check(const SnapshotEntry& entry, SnapshotVerdict* verdict);
  void CheckBase(const SnapshotEntry& entry, SnapshotVerdict* verdict) const;
  void Progress(int64_t bytes);
  // Whether this one reads at least what that one had.
  bool ReadsAllOf(const format::Verification& last,
                  const SnapshotVerdict& verdict) const;
  // Whether a verdict on the same manifest is stored that tells more.
  bool IsKnownBetter(const SnapshotVerdict& verdict,
                     const format::Verification& last) const;
  void Store(const SnapshotEntry& entry, SnapshotVerdict* verdict);

  const Archive& archive_;
  const VerifyOptions& options_;
  VerifyReport report_;
  std::vector<SnapshotEntry> chosen_;
  absl::flat_hash_set<std::string> sample_;
  PacksFound packs_found_;
  std::unique_ptr<backup_internal::Lease> lease_;
  RestoreProgress done_;
};

absl::Status Verification::Choose() {
  report_.backup_running = backup_internal::BackupIsRunning(archive_);
  LARDER_ASSIGN_OR_RETURN(chosen_, archive_.List());
  if (!report_.backup_running) {
    LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> leftovers,
                            backup_internal::FindLeftovers(archive_, chosen_));
    report_.leftover_files = static_cast<int64_t>(leftovers.size());
  }
  const std::string& id = options_.snapshot_id;
  if (id.empty()) return absl::OkStatus();
  // Bases are older than what builds on them.
  std::string wanted = id;
  std::vector<SnapshotEntry> chain;
  for (auto it = chosen_.rbegin(); it != chosen_.rend(); ++it) {
    if (it->id != wanted) continue;
    wanted = it->manifest.header().base_snapshot_id();
    chain.insert(chain.begin(), std::move(*it));
  }
  chosen_ = std::move(chain);
  return chosen_.empty() ? archive_.Find(id).status() : absl::OkStatus();
}

// Those that the snapshots have, or refer to, each once.
template <typename Fn>
void Verification::ForEachPack(Fn fn) const {
  absl::flat_hash_set<absl::string_view> seen;
  for (const SnapshotEntry& entry : chosen_) {
    for (const auto* packs :
         {&entry.manifest.packs(), &entry.manifest.references()}) {
      for (const format::Pack& pack : *packs) {
        if (seen.insert(pack.name()).second) fn(pack);
      }
    }
  }
}

void Verification::ChooseSample() {
  std::vector<std::string> names;
  ForEachPack([&](const format::Pack& pack) { names.push_back(pack.name()); });
  sample_ = backup_internal::SamplePacks(
      std::move(names), options_.sample_millionths, options_.seed);
  ForEachPack([&](const format::Pack& pack) {
    if (!sample_.contains(pack.name())) return;
    done_.bytes_total += static_cast<int64_t>(pack.bytes());
  });
}

void Verification::Progress(int64_t bytes) {
  lease_->Renew();
  done_.bytes_done += bytes;
  if (options_.progress) options_.progress(done_);
}

absl::Status Verification::Check(const SnapshotEntry& entry,
                                 SnapshotVerdict* verdict) {
  verdict->id = entry.id;
  verdict->bytes = entry.bytes;
  if (!entry.status.ok()) {
    verdict->status = entry.status;
    verdict->problems.emplace_back(entry.status.message());
    return absl::OkStatus();
  }
  verdict->in_the_clear = !entry.manifest.header().has_encryption();
  SnapshotCheck check(archive_, entry, options_, verdict);
  const auto progress = [this](int64_t bytes) { Progress(bytes); };
  LARDER_RETURN_IF_ERROR(
      options_.mode == format::VERIFY_MODE_FULL
          ? check.ReadAll(progress)
          : check.LookAtPacks(sample_, progress, &packs_found_));
  check.CheckComplete();
  CheckBase(entry, verdict);
  return absl::OkStatus();
}

// A restore reads it as well.
void Verification::CheckBase(const SnapshotEntry& entry,
                             SnapshotVerdict* verdict) const {
  if (!verdict->status.ok()) return;
  for (const SnapshotVerdict& base : report_.snapshots) {
    if (base.id != entry.manifest.header().base_snapshot_id() ||
        base.status.ok()) {
      continue;
    }
    verdict->status = absl::Status(
        base.status.code(), absl::StrCat("it builds on snapshot ", base.id,
                                         ": ", base.status.message()));
    verdict->problems.emplace_back(verdict->status.message());
  }
}

bool Verification::ReadsAllOf(const format::Verification& last,
                              const SnapshotVerdict& verdict) const {
  constexpr uint32_t kAll = 1'000'000;
  switch (last.mode()) {
    case format::VERIFY_MODE_QUICK:
      return true;
    case format::VERIFY_MODE_SAMPLE:
      // Which packs a smaller one has depends on what else is verified.
      return options_.mode == format::VERIFY_MODE_FULL ||
             (options_.mode == format::VERIFY_MODE_SAMPLE &&
              options_.sample_millionths == kAll);
    default:
      return options_.mode == format::VERIFY_MODE_FULL && !verdict.not_opened;
  }
}

bool Verification::IsKnownBetter(const SnapshotVerdict& verdict,
                                 const format::Verification& last) const {
  if (IsDamage(last)) return !ReadsAllOf(last, verdict);
  // A full one was made with the key. Damage that was found since is news.
  return verdict.not_opened && last.mode() == format::VERIFY_MODE_FULL &&
         verdict.status.ok();
}

void Verification::Store(const SnapshotEntry& entry, SnapshotVerdict* verdict) {
  const std::string manifest_sha256 =
      entry.status.ok() ? ManifestSha256(entry.manifest) : std::string();
  const auto last = ReadVerification(archive_, verdict->id);
  // Unless another dump has taken its place.
  if (last.ok() && last->has_value() &&
      (*last)->manifest_sha256() == manifest_sha256 &&
      IsKnownBetter(*verdict, **last)) {
    verdict->known_damaged = IsDamage(**last) && verdict->status.ok();
    return;
  }
  cache::Clock* const clock =
      options_.clock != nullptr ? options_.clock : cache::SystemClock();
  format::Verification message;
  message.set_mode(options_.mode);
  message.set_finished_unix_ms(clock->NowUnixMillis());
  message.set_status_code(static_cast<int>(verdict->status.code()));
  message.set_status_message(std::string(verdict->status.message()));
  message.set_problems(static_cast<int64_t>(verdict->problems.size()));
  message.set_bytes_read(verdict->bytes_read);
  message.set_manifest_sha256(manifest_sha256);
  if (options_.mode == format::VERIFY_MODE_SAMPLE) {
    message.set_seed(options_.seed);
    message.set_sample_millionths(options_.sample_millionths);
  }
  if (verdict->not_opened) {
    message.set_mode(format::VERIFY_MODE_SAMPLE);
    message.set_sample_millionths(1'000'000);
  }
  const absl::Status stored = StoreVerification(archive_, verdict->id, message);
  if (report_.not_stored.ok()) report_.not_stored = stored;
}

absl::Status Verification::Run() {
  LARDER_RETURN_IF_ERROR(Choose());
  if (options_.mode == format::VERIFY_MODE_SAMPLE) ChooseSample();
  std::vector<std::string> ids;
  for (const SnapshotEntry& entry : chosen_) {
    ids.push_back(entry.id);
    if (options_.mode == format::VERIFY_MODE_FULL) {
      done_.bytes_total += entry.bytes;
    }
  }
  LARDER_ASSIGN_OR_RETURN(
      lease_,
      backup_internal::Lease::Take(&archive_, std::move(ids), options_.clock));
  for (const SnapshotEntry& entry : chosen_) {
    SnapshotVerdict verdict;
    LARDER_RETURN_IF_ERROR(Check(entry, &verdict));
    if (options_.store) Store(entry, &verdict);
    if (report_.status.ok()) report_.status = verdict.status;
    report_.snapshots.push_back(std::move(verdict));
  }
  report_.unprotected = lease_->problem();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyArchive(const Archive& archive,
                                           const VerifyOptions& options) {
  Verification verification(archive, options);
  LARDER_RETURN_IF_ERROR(verification.Run());
  return verification.Take();
}

}  // namespace larder::backup
