#include "backup/retention.h"

#include <algorithm>
#include <cstddef>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {
namespace {

using format::CacheInfo;

struct Rule {
  absl::string_view name;
  int64_t count;
  // Names the period that a time is in.
  std::function<std::string(absl::CivilSecond)> period;
};

std::string Week(absl::CivilSecond time) {
  // The Monday on or before it.
  return absl::FormatCivilTime(
      absl::PrevWeekday(absl::CivilDay(time) + 1, absl::Weekday::monday));
}

std::vector<Rule> RulesOf(const RetentionPolicy& policy) {
  const auto text = [](auto civil) { return absl::FormatCivilTime(civil); };
  return {
      {"hourly", policy.hourly,
       [=](absl::CivilSecond t) { return text(absl::CivilHour(t)); }},
      {"daily", policy.daily,
       [=](absl::CivilSecond t) { return text(absl::CivilDay(t)); }},
      {"weekly", policy.weekly, Week},
      {"monthly", policy.monthly,
       [=](absl::CivilSecond t) { return text(absl::CivilMonth(t)); }},
      {"yearly", policy.yearly,
       [=](absl::CivilSecond t) { return text(absl::CivilYear(t)); }},
  };
}

// Decides on one set of snapshots.
class Retention {
 public:
  explicit Retention(const std::vector<SnapshotEntry>& snapshots)
      : snapshots_(snapshots) {
    for (size_t i = 0; i < snapshots.size(); ++i) {
      by_id_[snapshots[i].id] = i;
      decisions_.emplace_back().id = snapshots[i].id;
    }
  }

  void ApplyPolicy(const RetentionPolicy& policy, absl::TimeZone zone);
  void KeepWhatMustStay(const absl::flat_hash_set<std::string>& leased);
  // What those that stay need; until that needs no more.
  void KeepWhatTheyNeed();

  std::vector<RetentionDecision> Take() { return std::move(decisions_); }

 private:
  void Keep(size_t at, const std::string& reason) {
    decisions_[at].reasons.push_back(reason);
  }
  bool KeepBases();
  bool KeepFlushes();
  bool IsNeededByOlder(size_t at) const;
  bool NewerOfItsLineageSaysAll(size_t at) const;

  const std::vector<SnapshotEntry>& snapshots_;
  absl::flat_hash_map<std::string, size_t> by_id_;
  std::vector<RetentionDecision> decisions_;
};

void Retention::ApplyPolicy(const RetentionPolicy& policy,
                            absl::TimeZone zone) {
  const std::vector<Rule> rules = RulesOf(policy);
  std::vector<absl::flat_hash_set<std::string>> seen(rules.size());
  int64_t last = 0;
  // The newest first; by ordinal, since a clock may have been set back.
  for (size_t at = snapshots_.size(); at-- > 0;) {
    const SnapshotEntry& entry = snapshots_[at];
    if (!entry.complete) continue;
    if (last++ < policy.last) Keep(at, "last");
    const absl::CivilSecond time = absl::ToCivilSecond(
        absl::FromUnixMillis(entry.manifest.header().created_unix_ms()), zone);
    for (size_t r = 0; r < rules.size(); ++r) {
      if (static_cast<int64_t>(seen[r].size()) >= rules[r].count) continue;
      const std::string period = rules[r].period(time);
      if (seen[r].insert(period).second) {
        Keep(at, absl::StrCat(rules[r].name, " ", period));
      }
    }
  }
}

void Retention::KeepWhatMustStay(
    const absl::flat_hash_set<std::string>& leased) {
  bool newest = true;
  for (size_t at = snapshots_.size(); at-- > 0;) {
    const SnapshotEntry& entry = snapshots_[at];
    if (leased.contains(entry.id)) Keep(at, "being read");
    if (!entry.status.ok() ||
        (!entry.complete &&
         entry.incomplete_code != absl::StatusCode::kDataLoss)) {
      Keep(at, "cannot be read now");
    }
    if (entry.complete && newest) Keep(at, "newest complete");
    newest = newest && !entry.complete;
  }
}

bool Retention::KeepBases() {
  bool kept = false;
  // Bases are older than what builds on them.
  for (size_t at = snapshots_.size(); at-- > 0;) {
    if (!decisions_[at].keep()) continue;
    const auto base =
        by_id_.find(snapshots_[at].manifest.header().base_snapshot_id());
    if (base == by_id_.end() || decisions_[base->second].keep()) continue;
    Keep(base->second, absl::StrCat("base of ", snapshots_[at].id));
    kept = true;
  }
  return kept;
}

// Whether what was flushed in `newer` was flushed for `older`, too.
bool Concerns(const CacheInfo& newer, const CacheInfo& older) {
  return newer.lineage() == older.lineage() ||
         std::find(newer.ancestors().begin(), newer.ancestors().end(),
                   older.lineage()) != newer.ancestors().end();
}

template <typename Fn>
bool AnyPairOfCaches(const SnapshotEntry& a, const SnapshotEntry& b, Fn fn) {
  for (const auto& x : a.manifest.header().sources()) {
    if (x.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
    for (const auto& y : b.manifest.header().sources()) {
      if (y.kind() == format::SOURCE_KIND_BLOB_CACHE &&
          fn(x.cache(), y.cache())) {
        return true;
      }
    }
  }
  return false;
}

bool Retention::IsNeededByOlder(size_t at) const {
  for (size_t older = 0; older < at; ++older) {
    if (decisions_[older].keep() &&
        AnyPairOfCaches(snapshots_[at], snapshots_[older], Concerns)) {
      return true;
    }
  }
  return false;
}

// Whether a newer, complete snapshot holds all of its lineages.
bool Retention::NewerOfItsLineageSaysAll(size_t at) const {
  const auto& sources = snapshots_[at].manifest.header().sources();
  for (const auto& source : sources) {
    if (source.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
    bool said = false;
    for (size_t newer = at + 1; newer < snapshots_.size() && !said; ++newer) {
      const format::Manifest& manifest = snapshots_[newer].manifest;
      for (int i = 0; i < manifest.header().sources_size(); ++i) {
        said = said || (snapshots_[newer].complete &&
                        manifest.trailer().sources(i).status_code() == 0 &&
                        manifest.header().sources(i).cache().lineage() ==
                            source.cache().lineage());
      }
    }
    if (!said) return false;
  }
  return true;
}

bool Retention::KeepFlushes() {
  bool kept = false;
  for (size_t at = 0; at < snapshots_.size(); ++at) {
    if (decisions_[at].keep() || NewerOfItsLineageSaysAll(at) ||
        !IsNeededByOlder(at)) {
      continue;
    }
    Keep(at, "tells what was flushed for older ones");
    kept = true;
  }
  return kept;
}

void Retention::KeepWhatTheyNeed() {
  bool more = true;
  while (more) {
    const bool bases = KeepBases();
    const bool flushes = KeepFlushes();
    more = bases || flushes;
  }
}

}  // namespace

std::vector<RetentionDecision> DecideRetention(
    const std::vector<SnapshotEntry>& snapshots, const RetentionPolicy& policy,
    const absl::flat_hash_set<std::string>& leased, absl::TimeZone zone) {
  Retention retention(snapshots);
  retention.ApplyPolicy(policy, zone);
  retention.KeepWhatMustStay(leased);
  retention.KeepWhatTheyNeed();
  return retention.Take();
}

}  // namespace larder::backup
