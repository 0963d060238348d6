#include "backup/retention.h"

#include <algorithm>
#include <cstddef>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
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
  Retention(const std::vector<SnapshotEntry>& snapshots,
            const absl::flat_hash_set<std::string>& damaged)
      : snapshots_(snapshots) {
    for (size_t i = 0; i < snapshots.size(); ++i) {
      const std::string& id = snapshots[i].id;
      by_id_[id] = i;
      decisions_.push_back(
          {.id = id, .reasons = {}, .damaged = damaged.contains(id)});
    }
    FindCaches();
  }

  // Keeps the damaged ones that `policy` asks for when they count as others, or
  // the others that it asks for when those do not count.
  void ApplyPolicy(const RetentionPolicy& policy, bool damaged,
                   absl::TimeZone zone);
  void KeepWhatMustStay(
      const absl::flat_hash_map<std::string, std::string>& leased);
  // What those that stay need; until that needs no more.
  void KeepWhatTheyNeed();

  std::vector<RetentionDecision> Take() { return std::move(decisions_); }

 private:
  void Keep(size_t at, const std::string& reason) {
    decisions_[at].reasons.push_back(reason);
  }
  // Gives each snapshot, and so its lineages, the cache that it is of.
  void FindCaches();
  size_t CacheOf(size_t at);
  bool KeepBases();
  bool KeepFlushes();
  bool IsNeededByOlder(size_t at) const;
  bool NewerOfItsLineageSaysAll(size_t at) const;

  const std::vector<SnapshotEntry>& snapshots_;
  absl::flat_hash_map<std::string, size_t> by_id_;
  std::vector<RetentionDecision> decisions_;
  // Each leads towards the first snapshot of its cache, which leads to itself.
  std::vector<size_t> same_cache_;
};

size_t Retention::CacheOf(size_t at) {
  while (same_cache_[at] != at) {
    same_cache_[at] = same_cache_[same_cache_[at]];
    at = same_cache_[at];
  }
  return at;
}

void Retention::FindCaches() {
  // By lineage; of what has none, under an empty one.
  absl::flat_hash_map<std::string, size_t> first;
  const auto join = [&](const std::string& lineage, size_t at) {
    const size_t with = CacheOf(first.try_emplace(lineage, at).first->second);
    const size_t cache = CacheOf(at);
    same_cache_[std::max(with, cache)] = std::min(with, cache);
  };
  for (size_t at = 0; at < snapshots_.size(); ++at) {
    same_cache_.push_back(at);
    bool any = false;
    for (const auto& source : snapshots_[at].manifest.header().sources()) {
      if (source.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
      any = true;
      join(source.cache().lineage(), at);
      for (const std::string& ancestor : source.cache().ancestors()) {
        join(ancestor, at);
      }
    }
    if (!any) join("", at);
  }
}

void Retention::ApplyPolicy(const RetentionPolicy& policy, bool damaged,
                            absl::TimeZone zone) {
  const std::vector<Rule> rules = RulesOf(policy);
  struct Seen {
    int64_t snapshots = 0;
    std::vector<absl::flat_hash_set<std::string>> periods;  // By rule.
  };
  absl::flat_hash_map<size_t, Seen> by_cache;
  // The newest first; by ordinal, since a clock may have been set back.
  for (size_t at = snapshots_.size(); at-- > 0;) {
    const SnapshotEntry& entry = snapshots_[at];
    if (!entry.complete || (decisions_[at].damaged && !damaged)) continue;
    const auto keep = [&](const std::string& reason) {
      if (decisions_[at].damaged == damaged) Keep(at, reason);
    };
    Seen& seen = by_cache[CacheOf(at)];
    seen.periods.resize(rules.size());
    if (seen.snapshots++ < policy.last) keep("last");
    const absl::CivilSecond time = absl::ToCivilSecond(
        absl::FromUnixMillis(entry.manifest.header().created_unix_ms()), zone);
    for (size_t r = 0; r < rules.size(); ++r) {
      absl::flat_hash_set<std::string>& periods = seen.periods[r];
      if (static_cast<int64_t>(periods.size()) >= rules[r].count) continue;
      const std::string period = rules[r].period(time);
      if (periods.insert(period).second) {
        keep(absl::StrCat(rules[r].name, " ", period));
      }
    }
  }
}

void Retention::KeepWhatMustStay(
    const absl::flat_hash_map<std::string, std::string>& leased) {
  absl::flat_hash_set<size_t> done, done_sound;  // Caches.
  for (size_t at = snapshots_.size(); at-- > 0;) {
    const SnapshotEntry& entry = snapshots_[at];
    if (const auto lease = leased.find(entry.id); lease != leased.end()) {
      Keep(at, lease->second);
    }
    if (!entry.status.ok() ||
        (!entry.complete &&
         entry.incomplete_code != absl::StatusCode::kDataLoss)) {
      Keep(at, "cannot be read now");
    }
    if (!entry.complete) continue;
    const size_t cache = CacheOf(at);
    const bool newest = done.insert(cache).second;
    if (newest) Keep(at, "newest complete");
    if (decisions_[at].damaged || !done_sound.insert(cache).second) continue;
    if (!newest) Keep(at, "newest not found damaged");
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
    const absl::flat_hash_map<std::string, std::string>& leased,
    const absl::flat_hash_set<std::string>& damaged, absl::TimeZone zone) {
  Retention retention(snapshots, damaged);
  retention.ApplyPolicy(policy, /*damaged=*/false, zone);
  retention.ApplyPolicy(policy, /*damaged=*/true, zone);
  retention.KeepWhatMustStay(leased);
  retention.KeepWhatTheyNeed();
  return retention.Take();
}

}  // namespace larder::backup
