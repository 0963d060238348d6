#include "cache/l2/stored_record.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/blob.h"
#include "cache/l2/chain.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Half of what a superblock may hold: what is put later comes after it.
constexpr uint64_t kHlcMax = uint64_t{1} << 62;

absl::Status CheckAttributes(const BlobAttributes& a) {
  PutOptions o;
  o.tags = a.tags;
  o.dependencies = a.dependencies;
  o.metadata = a.metadata;
  LARDER_RETURN_IF_ERROR(ValidatePutOptions(o));
  if (a.invalidation_hashes.size() != a.tags.size() + a.dependencies.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalidation hashes: ", a.invalidation_hashes.size(),
                     " vs expected ", a.tags.size() + a.dependencies.size()));
  }
  return absl::OkStatus();
}

absl::Status CheckLastAccess(int64_t unix_ms) {
  if (unix_ms >= 0 && unix_ms < (int64_t{1} << 48)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("last access: ", unix_ms, " ms vs 0 to 2^48"));
}

absl::StatusOr<NewRecord> Make(uint32_t ns_id, const StoredRecord& stored) {
  LARDER_RETURN_IF_ERROR(ValidateKey(stored.key));
  LARDER_RETURN_IF_ERROR(CheckAttributes(stored.attributes));
  LARDER_RETURN_IF_ERROR(CheckHlc(stored.attributes.hlc));
  LARDER_RETURN_IF_ERROR(CheckLastAccess(stored.last_access_unix_ms));
  ChainHeader header;
  header.name_hash = NameHash(stored.ns, stored.key);
  header.raw_bytes = stored.raw_bytes;
  header.stored_bytes = stored.stored_bytes;
  header.frames = stored.frames;
  header.tags = stored.attributes.tags;
  header.dependencies = stored.attributes.dependencies;
  header.metadata = stored.attributes.metadata;
  NewRecord made;
  made.header = EncodeChainHeader(header);
  LARDER_RETURN_IF_ERROR(CheckFrames(header));
  made.record = MakeRecord(stored.attributes, header, made.header);
  if (made.record.payload_checksum != stored.payload_checksum) {
    return absl::DataLossError(
        absl::StrCat("payload checksum: found ", made.record.payload_checksum,
                     " vs expected ", stored.payload_checksum));
  }
  made.record_key = RecordKey(ns_id, stored.key);
  made.record.hlc = stored.attributes.hlc;
  made.record.rank = stored.attributes.hlc.value;
  made.record.last_access_unix_ms = stored.last_access_unix_ms;
  return made;
}

}  // namespace

absl::Status CheckHlc(Hlc hlc) {
  if (hlc.value <= kHlcMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("hlc: ", hlc.value, " exceeds ", kHlcMax));
}

absl::StatusOr<NewRecord> MakeStored(uint32_t ns_id,
                                     const StoredRecord& stored) {
  absl::StatusOr<NewRecord> made = Make(ns_id, stored);
  if (made.ok()) return made;
  return absl::Status(made.status().code(),
                      absl::StrCat(absl::CHexEscape(stored.ns), "/",
                                   absl::CHexEscape(stored.key), ": ",
                                   made.status().message()));
}

}  // namespace larder::cache::l2
