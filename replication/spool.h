// The chunks of a dump that a replica does not have durable yet.
#ifndef LARDER_REPLICATION_SPOOL_H_
#define LARDER_REPLICATION_SPOOL_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/strings/string_view.h"
#include "backup/format/chunk.h"

namespace larder::replication {

// Positions are offsets into the dump: the bytes of all its chunks back to
// back. Single-owner.
class Spool {
 public:
  void Add(std::shared_ptr<const backup::format::Chunk> chunk);
  // Forgets chunks that end at or before `position`.
  void ReleaseThrough(uint64_t position);

  uint64_t begin() const { return begin_; }
  uint64_t end() const { return end_; }
  // Of the first chunk. Requires: bytes() > 0.
  uint64_t first_end() const { return entries_.front().end(); }
  int64_t bytes() const { return static_cast<int64_t>(end_ - begin_); }

  // Bytes that `chunk` keeps alive.
  struct Range {
    absl::string_view bytes;
    std::shared_ptr<const backup::format::Chunk> chunk;
  };
  // Some bytes from `position` on, at most `bytes_max`.
  // Requires: begin() <= position < end().
  Range At(uint64_t position, uint64_t bytes_max) const;

 private:
  struct Entry {
    uint64_t position = 0;
    std::shared_ptr<const backup::format::Chunk> chunk;
    uint64_t end() const { return position + chunk->bytes.size(); }
  };

  std::deque<Entry> entries_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_SPOOL_H_
