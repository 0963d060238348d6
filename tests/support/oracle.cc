#include "tests/support/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using Kind = LoggedMutation::Kind;

constexpr uint64_t kNeverAcknowledged = std::numeric_limits<uint64_t>::max();
// The mutations of one life that nobody is told the HLC of are a few.
constexpr uint64_t kHlcsUntold = 64;

std::string Describe(const std::pair<std::string, std::string>& name) {
  return absl::StrCat(name.first, "/", absl::CHexEscape(name.second));
}

}  // namespace

void Oracle::Acknowledge(LoggedMutation mutation, int64_t now_unix_ms) {
  EXPECT_GT(mutation.at.hlc, newest_) << "an HLC went back";
  newest_ = mutation.at.hlc;
  newest_ever_ = std::max(newest_ever_, newest_);
  Apply(mutation, &contents_);
  const Name name(mutation.ns, mutation.name);
  if (mutation.kind == Kind::kPut) {
    touched_[name] = now_unix_ms;
    access_lost_.erase(name);
    ever_[name].push_back(contents_.at(name));
  }
  // What it covers cannot come back, if it ever was.
  std::erase_if(doubts_, [&](const LoggedMutation& doubt) {
    return doubt.kind == Kind::kPut && Covers(mutation, doubt);
  });
  log_.push_back(std::move(mutation));
}

void Oracle::Doubt(LoggedMutation mutation) {
  mutation.at = {newest_, kNeverAcknowledged};
  if (mutation.kind == Kind::kPut) {
    ever_[{mutation.ns, mutation.name}].push_back(
        {mutation.content, mutation.at.hlc, mutation.options});
  }
  doubts_.push_back(std::move(mutation));
}

const Expected* Oracle::Find(const std::string& ns,
                             const std::string& key) const {
  const auto it = contents_.find({ns, key});
  return it == contents_.end() ? nullptr : &it->second;
}

bool Oracle::IsDead(const Name& name, const Expected& blob,
                    int64_t now_unix_ms) const {
  if (IsExpired(blob, now_unix_ms)) return true;
  const auto touched = touched_.find(name);
  return blob.options.idle_ttl_ms > 0 && touched != touched_.end() &&
         now_unix_ms - touched->second >= blob.options.idle_ttl_ms;
}

Oracle::Allowed Oracle::AllowedFrom(const Contents& from, const Name& name,
                                    int64_t now_unix_ms, bool evicting) const {
  Allowed allowed;
  allowed.absent = evicting;
  if (const auto it = from.find(name);
      it != from.end() && !IsDead(name, it->second, now_unix_ms)) {
    allowed.blobs.push_back(it->second);
    allowed.absent |=
        it->second.options.idle_ttl_ms > 0 && access_lost_.contains(name);
  } else {
    allowed.absent = true;
  }
  for (const LoggedMutation& m : doubts_) {
    if (m.kind == Kind::kPut && Name(m.ns, m.name) == name) {
      const Expected blob{m.content, m.at.hlc, m.options};
      allowed.blobs.push_back(blob);
      // It replaced what was there, and may have expired since.
      allowed.absent |=
          IsExpired(blob, now_unix_ms) || blob.options.idle_ttl_ms > 0;
    } else if (m.kind != Kind::kPut && !allowed.blobs.empty() &&
               m.at.hlc >= allowed.blobs[0].hlc &&
               Covers(m, name.first, name.second, allowed.blobs[0])) {
      allowed.absent = true;
    }
  }
  std::erase_if(allowed.blobs, [&](const Expected& blob) {
    return IsExpired(blob, now_unix_ms);
  });
  return allowed;
}

Oracle::Allowed Oracle::AllowedNow(const Name& name,
                                   int64_t now_unix_ms) const {
  if (anything_goes_) {
    const auto ever = ever_.find(name);
    return {true, ever == ever_.end() ? std::vector<Expected>() : ever->second};
  }
  return AllowedFrom(contents_, name, now_unix_ms, options_.evicting);
}

std::optional<Expected> Oracle::Match(
    const Name& name, const Allowed& allowed,
    const std::optional<cache::Hit>& hit) const {
  if (!hit.has_value()) {
    EXPECT_TRUE(allowed.absent)
        << Describe(name) << " is missing; put at hlc "
        << (allowed.blobs.empty() ? 0 : allowed.blobs[0].hlc.value);
    return std::nullopt;
  }
  for (const Expected& blob : allowed.blobs) {
    if (hit->bytes() == ContentOf(blob.content, options_.content_bytes_max) &&
        hit->attributes().version == blob.options.version &&
        hit->attributes().tags == blob.options.tags &&
        hit->attributes().dependencies == blob.options.dependencies &&
        hit->attributes().metadata == blob.options.metadata) {
      Expected matched = blob;
      matched.hlc = hit->attributes().hlc;
      return matched;
    }
  }
  ADD_FAILURE() << Describe(name) << ": wrong blob of " << hit->bytes().size()
                << " bytes with hlc " << hit->attributes().hlc.value
                << " from tier " << static_cast<int>(hit->tier()) << "; "
                << allowed.blobs.size() << " would be right, the first put at "
                << (allowed.blobs.empty() ? 0 : allowed.blobs[0].hlc.value);
  return std::nullopt;
}

void Oracle::CheckHit(const std::string& ns, const std::string& key,
                      const std::optional<cache::Hit>& hit,
                      int64_t now_unix_ms) {
  const Name name(ns, key);
  Match(name, AllowedNow(name, now_unix_ms), hit);
  if (!hit.has_value()) return;
  touched_[name] = now_unix_ms;
  access_lost_.erase(name);
}

void Oracle::CheckPresence(const std::string& ns, const std::string& key,
                           cache::Presence presence, int64_t now_unix_ms) {
  const Name name(ns, key);
  const Allowed allowed = AllowedNow(name, now_unix_ms);
  if (presence == cache::Presence::kAbsent) {
    EXPECT_TRUE(allowed.absent) << Describe(name) << " is not absent";
  } else if (presence == cache::Presence::kPresent) {
    EXPECT_FALSE(allowed.blobs.empty()) << Describe(name) << " is not present";
  }
}

void Oracle::CheckAll(cache::BlobCache* cache, int64_t now_unix_ms) {
  for (const std::string& ns : options_.namespaces) {
    for (const std::string& key : options_.keys) {
      CheckHit(ns, key, cache->Get(ns, key), now_unix_ms);
    }
  }
}

void Oracle::CheckGenerations(cache::BlobCache* cache, Loss loss,
                              uint64_t epoch) {
  for (const std::string& ns : options_.namespaces) {
    uint64_t least = generations_[ns], most = least;
    for (const LoggedMutation& m : log_) {
      if (m.kind != Kind::kFlush || m.ns != ns) continue;
      ++most;
      if (m.at.epoch <= epoch || loss < Loss::kUnsynced) ++least;
    }
    for (const LoggedMutation& m : doubts_) {
      if (m.kind == Kind::kFlush && m.ns == ns) ++most;
    }
    const uint64_t now = cache->CurrentGeneration(ns);
    EXPECT_TRUE(now >= least || loss == Loss::kAnything) << ns;
    EXPECT_LE(now, most) << ns;
    generations_[ns] = now;
  }
}

void Oracle::NoteCrash(Loss loss, uint64_t epoch) {
  if (loss == Loss::kNone) return;
  anything_goes_ |= loss == Loss::kAnything;
  std::erase_if(log_, [&](const LoggedMutation& m) {
    if (m.at.epoch <= epoch) return false;
    const bool is_put = m.kind == Kind::kPut;
    if (!is_put && loss != Loss::kUncommitted) doubts_.push_back(m);
    return is_put || loss != Loss::kUncommitted;
  });
}

void Oracle::CheckReopened(cache::BlobCache* cache, Loss loss, uint64_t epoch,
                           int64_t now_unix_ms) {
  NoteCrash(loss, epoch);
  CheckGenerations(cache, loss, epoch);
  Contents from = contents_;
  if (loss != Loss::kNone) {
    // What is left of later epochs was in the journal.
    from = ContentsAt(std::numeric_limits<uint64_t>::max(), log_, base_);
  }
  Adopt(cache, from, options_.evicting, now_unix_ms);
}

void Oracle::Adopt(cache::BlobCache* cache, const Contents& from, bool evicting,
                   int64_t now_unix_ms) {
  // HLCs of what was lost, or changed nothing, may be given again.
  newest_ = cache::Hlc();
  Contents found;
  for (const std::string& ns : options_.namespaces) {
    for (const std::string& key : options_.keys) {
      const Name name(ns, key);
      access_lost_[name] = true;
      const Allowed allowed =
          anything_goes_ ? AllowedNow(name, now_unix_ms)
                         : AllowedFrom(from, name, now_unix_ms, evicting);
      const auto blob = Match(name, allowed, cache->Get(ns, key));
      if (blob.has_value()) {
        found[name] = *blob;
        newest_ = std::max(newest_, blob->hlc);
        touched_[name] = now_unix_ms;
        access_lost_.erase(name);
      }
    }
  }
  for (const LoggedMutation& m : log_) certain_.Add(m);
  // What died in the middle was given an HLC that nobody was told.
  const cache::Hlc newest_possible{
      std::max(newest_ever_, cache::Hlc::FromUnixMillis(now_unix_ms)).value +
      kHlcsUntold};
  for (LoggedMutation& m : doubts_) {
    if (m.at.epoch == kNeverAcknowledged) m.at.hlc = newest_possible;
    possible_.Add(m);
  }
  base_ = contents_ = std::move(found);
  log_.clear();
  doubts_.clear();
}

Oracle::State Oracle::Save() const {
  EXPECT_TRUE(doubts_.empty() && !anything_goes_);
  State state{contents_, touched_, generations_, certain_, possible_};
  for (const LoggedMutation& m : log_) {
    state.certain.Add(m);
    if (m.kind == Kind::kFlush) ++state.generations[m.ns];
  }
  return state;
}

void Oracle::CheckRestored(cache::BlobCache* cache, const State& state,
                           int64_t now_unix_ms) {
  Forget();
  Contents from = state.contents;
  std::erase_if(from, [&](const auto& entry) {
    return state.certain.Cover(entry.first.first, entry.first.second,
                               entry.second);
  });
  touched_ = state.touched;
  generations_ = state.generations;
  certain_ = state.certain;
  possible_ = state.possible;
  doubts_ = state.possible.List();
  for (const std::string& ns : options_.namespaces) {
    EXPECT_EQ(cache->CurrentGeneration(ns), generations_[ns]) << ns;
  }
  Adopt(cache, from, /*evicting=*/false, now_unix_ms);
  for (const auto& [name, blob] : contents_) {
    EXPECT_EQ(blob.hlc, from.at(name).hlc) << Describe(name);
    ever_[name].push_back(blob);
  }
}

void Oracle::Forget() {
  base_.clear();
  contents_.clear();
  log_.clear();
  doubts_.clear();
  generations_.clear();
  certain_ = possible_ = Invalidations();
  touched_.clear();
  ever_.clear();
  anything_goes_ = false;
  newest_ = cache::Hlc();
}

}  // namespace larder::tests
