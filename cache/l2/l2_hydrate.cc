// An L2 that does not hold yet all of what it is restored from.
#include <optional>
#include <string>
#include <utility>

#include "cache/check.h"
#include "cache/hydration.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/record_loader.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// When a marker expired. An empty blob that was put to expire then is as dead.
constexpr int64_t kMarkerExpiresAtUnixMs = 1;

}  // namespace

absl::Status L2Store::LoadHydration() {
  LARDER_ASSIGN_OR_RETURN(
      const std::optional<Hlc> floor,
      ReadHydration(options_.file_system, options_.l2_path));
  if (!floor.has_value()) return absl::OkStatus();
  shared_.hlc->Observe(*floor);
  hydration_floor_.store(floor->value, std::memory_order_release);
  return absl::OkStatus();
}

// The file goes first: markers may go once nobody can add what they keep out,
// also not after a restart.
absl::Status L2Store::EndHydration() {
  LARDER_RETURN_IF_ERROR(
      cache::EndHydration(options_.file_system, options_.l2_path));
  hydration_floor_.store(0, std::memory_order_release);
  // Markers that it has passed are to go now.
  MutexLock lock(&due_mu_);
  due_ = DueSweep();
  return absl::OkStatus();
}

bool L2Store::IsMarker(const Record& record) {
  return record.expiry.expires_at_unix_ms == kMarkerExpiresAtUnixMs &&
         record.raw_bytes == 0;
}

void L2Store::StageAbsent(uint64_t epoch, uint32_t ns_id, uint64_t name_hash,
                          absl::string_view key, Hlc hlc) {
  std::string record_key = RecordKey(ns_id, key);
  if (hydration_floor().value == 0) {
    StageChange(epoch, record_key, MakeRemoval(hlc));
    return;
  }
  ChainHeader header;
  header.name_hash = name_hash;
  BlobAttributes attributes;
  attributes.expiry.expires_at_unix_ms = kMarkerExpiresAtUnixMs;
  std::string encoded = EncodeChainHeader(header);
  Record marker = MakeRecord(attributes, header, encoded);
  marker.hlc = hlc;
  marker.rank = hlc.value;
  LARDER_CHECK(FitsInline(record_key, marker));
  marker.inline_chain = std::move(encoded);
  StageChange(epoch, record_key,
              MakeChange(StagedChange::Kind::kPut, std::move(marker)));
}

absl::StatusOr<PreparedPut> L2Store::PrepareStored(const StoredRecord& stored,
                                                   FrameSource read_frame,
                                                   bool may_evict) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  LARDER_RETURN_IF_ERROR(CommitIfDue(/*may_evict=*/false));
  RecordLoader loader(this, shared_.namespaces, may_evict);
  LARDER_RETURN_IF_ERROR(loader.Begin(stored));
  for (size_t i = 0; i < stored.frames.size(); ++i) {
    LARDER_ASSIGN_OR_RETURN(const std::string frame, read_frame(i));
    LARDER_RETURN_IF_ERROR(loader.AppendFrame(frame));
  }
  return loader.Finish();
}

}  // namespace larder::cache::l2
