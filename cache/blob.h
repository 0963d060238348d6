// A blob in memory: bytes and attributes, immutable and shared.
#ifndef LARDER_CACHE_BLOB_H_
#define LARDER_CACHE_BLOB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/policy.h"

namespace larder::cache {

// Everything about a blob but its bytes and its name. A plain value.
struct BlobAttributes {
  Hlc hlc;  // Of the put that wrote it.
  Expiry expiry;
  uint64_t version = 0;
  uint8_t priority = 128;
  L1Admission l1_admission = L1Admission::kAuto;
  std::vector<std::string> tags;
  std::vector<std::string> dependencies;
  std::vector<std::pair<std::string, std::string>> metadata;
  // Hashes of `tags`, then of `dependencies` (TagHash, DependencyHash), in the
  // same order: what tombstones match without touching the strings.
  std::vector<uint64_t> invalidation_hashes;
};

// Immutable once built, hence thread-safe. Its bytes are its own, or lie beside
// it in one piece of heap (MakeBlob), or are borrowed from `owner`, which it
// keeps alive, or from what it is a part of.
class Blob {
 public:
  // Owns `bytes`.
  Blob(BlobAttributes attributes, std::string bytes)
      : attributes_(std::move(attributes)),
        storage_(std::move(bytes)),
        bytes_(storage_) {}
  // Borrows `bytes`, which live as long as `owner`.
  Blob(BlobAttributes attributes, absl::string_view bytes,
       std::shared_ptr<const void> owner)
      : attributes_(std::move(attributes)),
        owner_(std::move(owner)),
        bytes_(bytes) {}
  // Borrows `bytes`, which outlive it.
  Blob(BlobAttributes&& attributes, absl::string_view bytes)
      : attributes_(std::move(attributes)), bytes_(bytes) {}
  Blob(const Blob&) = delete;
  Blob& operator=(const Blob&) = delete;

  const BlobAttributes& attributes() const { return attributes_; }
  absl::string_view bytes() const { return bytes_; }
  // Whether MemoryBytes() counts the bytes: they were given to this object.
  bool owns_bytes() const { return bytes_.data() == storage_.data(); }
  // Heap that a blob of its own std::make_shared takes, payload (unless it is
  // borrowed) and overhead. Costs a walk over tags and metadata.
  size_t MemoryBytes() const;

 private:
  const BlobAttributes attributes_;
  const std::string storage_;
  const std::shared_ptr<const void> owner_;
  const absl::string_view bytes_;
};

// A blob and room for its `bytes` bytes, allocated together. The caller writes
// them to `*room` before it lets anybody else see the blob.
std::shared_ptr<const Blob> MakeBlob(BlobAttributes&& attributes, size_t bytes,
                                     char** room);

enum class Tier : uint8_t { kL1 = 1, kL2 = 2 };

// What a get found. Zero-copy: the bytes live as long as the Hit (or a copy of
// it) does. A Hit from L2 that is held long delays the reuse of its own chain
// and of nothing else. Thread-compatible.
class Hit {
 public:
  Hit(std::shared_ptr<const Blob> blob, Tier tier, bool stale)
      : blob_(std::move(blob)), tier_(tier), stale_(stale) {}

  absl::string_view bytes() const { return blob_->bytes(); }
  const BlobAttributes& attributes() const { return blob_->attributes(); }
  const std::shared_ptr<const Blob>& blob() const { return blob_; }
  Tier tier() const { return tier_; }
  // Past its expiry and within its stale window: serve, and revalidate.
  bool stale() const { return stale_; }

 private:
  std::shared_ptr<const Blob> blob_;
  Tier tier_;
  bool stale_;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_BLOB_H_
