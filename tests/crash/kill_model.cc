#include "tests/crash/kill_model.h"

#include <algorithm>
#include <utility>

namespace larder::tests {
namespace {

using Kind = KillOperation::Kind;

bool IsInvalidation(Kind kind) {
  return kind == Kind::kDelete || kind == Kind::kPrefix || kind == Kind::kTag ||
         kind == Kind::kDependency || kind == Kind::kFlush;
}

// Of the same namespace.
bool Covers(const KillOperation& o, const KillOperation& put) {
  switch (o.kind) {
    case Kind::kDelete:
      return put.key == o.key;
    case Kind::kPrefix:
      return put.prefix == o.prefix;
    case Kind::kTag:
      return put.tag == o.tag;
    case Kind::kDependency:
      return put.dependency == o.dependency;
    default:
      return o.kind == Kind::kFlush;
  }
}

}  // namespace

void KillModel::Returned(int thread, uint64_t number) {
  next_[static_cast<size_t>(thread)] = number + 1;
  Apply(KillOperationAt(plan_, thread, number), /*returned=*/true);
}

void KillModel::Killed() {
  for (int thread = 0; thread < kKillThreads; ++thread) {
    uint64_t& next = next_[static_cast<size_t>(thread)];
    Apply(KillOperationAt(plan_, thread, next), /*returned=*/false);
    // Never again: a number stands for one put.
    ++next;
    // A commit of the next life says nothing of them.
    uncommitted_[static_cast<size_t>(thread)].clear();
  }
}

template <typename Covered>
void KillModel::Cover(const Key& key, std::vector<Put>* puts, bool returned,
                      Covered covered) {
  const auto newest = std::find_if(puts->rbegin(), puts->rend(), covered);
  if (newest == puts->rend()) return;
  touched_.insert(key);
  // What the newest of them may have replaced, it does not uncover.
  for (auto it = newest; it != puts->rend(); ++it) it->certain = false;
  if (returned) std::erase_if(*puts, covered);
}

void KillModel::Apply(const KillOperation& o, bool returned) {
  if (o.kind == Kind::kCommit) {
    if (returned) Commit(o.thread);
    return;
  }
  const Key key(o.thread, o.scratch, o.key);
  if (o.kind == Kind::kPut) {
    puts_by_key_[key].push_back({o, /*certain=*/false});
    touched_.insert(key);
    if (!returned) return;
    ++puts_;
    uncommitted_[static_cast<size_t>(o.thread)].push_back(o);
    if (durability_ == cache::Durability::kEveryPut) Commit(o.thread);
    return;
  }
  if (!IsInvalidation(o.kind)) return;
  invalidations_ += returned ? 1 : 0;
  // All keys of the namespace, which are neighbours.
  auto it = puts_by_key_.lower_bound({o.thread, o.scratch, 0});
  if (o.kind == Kind::kDelete) it = puts_by_key_.find(key);
  for (; it != puts_by_key_.end(); ++it) {
    const auto& [thread, scratch, number] = it->first;
    if (thread != o.thread || scratch != o.scratch) break;
    Cover(it->first, &it->second, returned,
          [&](const Put& put) { return Covers(o, put.operation); });
    if (o.kind == Kind::kDelete) break;
  }
}

void KillModel::Commit(int thread) {
  for (const KillOperation& o :
       std::exchange(uncommitted_[static_cast<size_t>(thread)], {})) {
    std::vector<Put>& puts = puts_by_key_[{thread, o.scratch, o.key}];
    // Also when it was invalidated since.
    std::erase_if(
        puts, [&](const Put& put) { return put.operation.number < o.number; });
    if (!puts.empty() && puts.front().operation.number == o.number) {
      puts.front().certain = true;
    }
  }
}

KillModel::Allowed KillModel::Find(const Key& key) const {
  Allowed allowed;
  allowed.absent = true;
  const auto it = puts_by_key_.find(key);
  if (it == puts_by_key_.end()) return allowed;
  for (const Put& put : it->second) {
    allowed.puts.push_back(put.operation.number);
    // What is certain must be there, unless it may be evicted, or it or what
    // may have replaced it expires.
    if (put.certain) allowed.absent = plan_.evicting;
    if (put.operation.ttl_ms > 0) allowed.absent = true;
  }
  return allowed;
}

std::vector<KillModel::Key> KillModel::Keys() const {
  std::vector<Key> keys;
  for (const auto& [key, puts] : puts_by_key_) keys.push_back(key);
  return keys;
}

std::vector<KillModel::Key> KillModel::TakeTouched() {
  const std::set<Key> touched = std::exchange(touched_, {});
  return std::vector<Key>(touched.begin(), touched.end());
}

}  // namespace larder::tests
