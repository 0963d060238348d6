#include "replication/spool.h"

#include <algorithm>
#include <utility>

#include "cache/check.h"

namespace larder::replication {

void Spool::Add(std::shared_ptr<const backup::format::Chunk> chunk) {
  entries_.push_back({end_, std::move(chunk)});
  end_ = entries_.back().end();
}

void Spool::ReleaseThrough(uint64_t position) {
  while (!entries_.empty() && entries_.front().end() <= position) {
    begin_ = entries_.front().end();
    entries_.pop_front();
  }
}

Spool::Range Spool::At(uint64_t position, uint64_t bytes_max) const {
  LARDER_CHECK(position >= begin_ && position < end_);
  const auto entry = std::upper_bound(
      entries_.begin(), entries_.end(), position,
      [](uint64_t at, const Entry& e) { return at < e.end(); });
  return {absl::string_view(entry->chunk->bytes)
              .substr(position - entry->position, bytes_max),
          entry->chunk};
}

}  // namespace larder::replication
