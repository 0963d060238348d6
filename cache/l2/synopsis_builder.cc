#include "cache/l2/synopsis_builder.h"

#include "cache/l2/record.h"
#include "cache/name_hash.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {

absl::StatusOr<SynopsisBuilder> BuildSynopsis(const Tree& records,
                                              uint32_t ns_id,
                                              absl::string_view ns,
                                              uint64_t keys) {
  SynopsisBuilder built(2 * keys);
  const uint64_t name_seed = NameSeed(ns);
  LARDER_RETURN_IF_ERROR(records.Walk(
      RecordKey(ns_id, ""),
      [&](absl::string_view record_key, absl::string_view) {
        uint32_t of;
        absl::string_view key;
        if (!SplitRecordKey(record_key, &of, &key) || of != ns_id) {
          return false;
        }
        built.Add(NameHash(name_seed, key));
        return true;
      }));
  return built;
}

}  // namespace larder::cache::l2
