#include "tools/demo/model.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace larder::demo {

void Model::OnPut(absl::string_view ns, absl::string_view key, const Put& put,
                  const cache::Mutation& mutation) {
  Version version{.mutation = mutation, .file = put.file, .tag = put.tag};
  if (put.ttl_ms > 0) {
    version.expires_at_unix_ms = mutation.hlc.unix_millis() + put.ttl_ms;
  }
  cache::MutexLock lock(&mu_);
  versions_[{std::string(ns), std::string(key)}].push_back(std::move(version));
}

void Model::OnDelete(absl::string_view ns, absl::string_view key,
                     const cache::Mutation& mutation) {
  cache::MutexLock lock(&mu_);
  versions_[{std::string(ns), std::string(key)}].push_back(
      Version{.mutation = mutation});
}

void Model::OnFlush(absl::string_view ns, const cache::Mutation& mutation) {
  OnInvalidateTag(ns, "", mutation);
}

void Model::OnInvalidateTag(absl::string_view ns, absl::string_view tag,
                            const cache::Mutation& mutation) {
  cache::MutexLock lock(&mu_);
  invalidations_.push_back({std::string(ns), std::string(tag), mutation});
}

bool Model::Invalidated(absl::string_view ns, const Version& version,
                        uint64_t epoch) const {
  return std::any_of(
      invalidations_.begin(), invalidations_.end(),
      [&](const Invalidation& invalidation) {
        return invalidation.mutation.epoch <= epoch &&
               invalidation.mutation.hlc >= version.mutation.hlc &&
               invalidation.ns == ns &&
               (invalidation.tag.empty() || invalidation.tag == version.tag);
      });
}

Model::Contents Model::ContentsAt(uint64_t epoch, int64_t now_unix_ms) const {
  Contents contents;
  cache::MutexLock lock(&mu_);
  for (const auto& [name, versions] : versions_) {
    const Version* newest = nullptr;
    for (const Version& version : versions) {
      if (version.mutation.epoch <= epoch &&
          (newest == nullptr || version.mutation.hlc > newest->mutation.hlc)) {
        newest = &version;
      }
    }
    if (newest == nullptr || newest->file < 0) continue;
    const int64_t expires_at = newest->expires_at_unix_ms;
    if (expires_at != 0 && expires_at <= now_unix_ms) continue;
    if (!Invalidated(name.first, *newest, epoch)) {
      contents.emplace(name, newest->file);
    }
  }
  return contents;
}

int64_t Model::LastExpiryBefore(int64_t horizon_unix_ms) const {
  int64_t last = 0;
  cache::MutexLock lock(&mu_);
  for (const auto& [name, versions] : versions_) {
    for (const Version& version : versions) {
      if (version.expires_at_unix_ms < horizon_unix_ms) {
        last = std::max(last, version.expires_at_unix_ms);
      }
    }
  }
  return last;
}

}  // namespace larder::demo
