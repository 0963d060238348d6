#include "tests/support/history.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"

namespace larder::tests {
namespace {

using Kind = LoggedMutation::Kind;

}  // namespace

bool Covers(const LoggedMutation& m, const std::string& ns,
            const std::string& key, const Expected& blob) {
  if (m.ns != ns) return false;
  switch (m.kind) {
    case Kind::kPut:
    case Kind::kDelete:
      return key == m.name;
    case Kind::kPrefix:
      return absl::StartsWith(key, m.name);
    case Kind::kTag:
      return absl::c_linear_search(blob.options.tags, m.name);
    case Kind::kDependency:
      return absl::c_linear_search(blob.options.dependencies, m.name);
    case Kind::kFlush:
      return true;
  }
  return false;
}

bool Covers(const LoggedMutation& mutation, const LoggedMutation& put) {
  return Covers(mutation, put.ns, put.name,
                {put.content, put.at.hlc, put.options});
}

void Apply(const LoggedMutation& mutation, Contents* contents) {
  std::erase_if(*contents, [&](const auto& entry) {
    return Covers(mutation, entry.first.first, entry.first.second,
                  entry.second);
  });
  if (mutation.kind == Kind::kPut) {
    (*contents)[{mutation.ns, mutation.name}] = {
        mutation.content, mutation.at.hlc, mutation.options};
  }
}

Contents ContentsAt(uint64_t epoch, std::vector<LoggedMutation> mutations,
                    Contents base) {
  std::sort(mutations.begin(), mutations.end(),
            [](const LoggedMutation& a, const LoggedMutation& b) {
              return a.at.hlc < b.at.hlc;
            });
  for (const LoggedMutation& m : mutations) {
    if (m.at.epoch <= epoch) Apply(m, &base);
  }
  return base;
}

void Invalidations::Add(const LoggedMutation& m) {
  if (m.kind == Kind::kPut || m.kind == Kind::kDelete) return;
  cache::Hlc& newest = newest_[{m.kind, m.ns, m.name}];
  newest = std::max(newest, m.at.hlc);
}

void Invalidations::Merge(const Invalidations& other) {
  for (const LoggedMutation& m : other.List()) Add(m);
}

bool Invalidations::Cover(const std::string& ns, const std::string& key,
                          const Expected& blob) const {
  return absl::c_any_of(List(), [&](const LoggedMutation& m) {
    return blob.hlc <= m.at.hlc && Covers(m, ns, key, blob);
  });
}

std::vector<LoggedMutation> Invalidations::List() const {
  std::vector<LoggedMutation> list;
  for (const auto& [what, hlc] : newest_) {
    LoggedMutation m;
    std::tie(m.kind, m.ns, m.name) = what;
    m.at.hlc = hlc;
    list.push_back(std::move(m));
  }
  return list;
}

bool IsExpired(const Expected& blob, int64_t now_unix_ms) {
  return blob.options.expires_at_unix_ms != 0 &&
         now_unix_ms >= blob.options.expires_at_unix_ms +
                            blob.options.stale_while_revalidate_ms;
}

}  // namespace larder::tests
