// A synopsis in memory, on its way to the system tree.
#ifndef LARDER_CACHE_L2_SYNOPSIS_BUILDER_H_
#define LARDER_CACHE_L2_SYNOPSIS_BUILDER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/synopsis.h"

namespace larder::cache::l2 {

// Single-owner. Memory: shape().bytes().
class SynopsisBuilder {
 public:
  explicit SynopsisBuilder(uint64_t keys_max)
      : shape_(keys_max), bytes_(shape_.bytes(), '\0') {
    for (uint64_t i = 0; i < shape_.chunks(); ++i) {
      bytes_[i * SynopsisShape::kChunkBytes + shape_.ChunkBytes(i) - 1] =
          SynopsisShape::kChunkMark;
    }
  }

  const SynopsisShape& shape() const { return shape_; }

  void Add(uint64_t name_hash) {
    const SynopsisShape::Place place = shape_.PlaceOf(name_hash);
    AddToSynopsisBlock(
        &bytes_[place.chunk * SynopsisShape::kChunkBytes + place.offset],
        name_hash);
  }

  // As stored; a view of this object.
  absl::string_view Chunk(uint64_t i) const {
    return absl::string_view(bytes_).substr(i * SynopsisShape::kChunkBytes,
                                            shape_.ChunkBytes(i));
  }

 private:
  const SynopsisShape shape_;
  std::string bytes_;
};

// The synopsis of all that `records` holds of the namespace of id `ns_id` and
// name `ns`. Sized for twice `keys`, which is how many these are: the cost of
// the next rebuild is paid by as many puts.
// Errors: as Tree::Walk().
absl::StatusOr<SynopsisBuilder> BuildSynopsis(const Tree& records,
                                              uint32_t ns_id,
                                              absl::string_view ns,
                                              uint64_t keys);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SYNOPSIS_BUILDER_H_
