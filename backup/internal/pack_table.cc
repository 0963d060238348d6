#include "backup/internal/pack_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/internal/pack_stream.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::ChunkHeader;
using backup::format::ChunkType;

absl::StatusOr<std::shared_ptr<const PackTable>> PackTables::Table(int pack) {
  const auto it = tables_.find(pack);
  if (it != tables_.end()) return it->second;
  auto table = std::make_shared<PackTable>();
  PackStream stream(
      archive_, manifest_, [](const ChunkHeader&) { return false; },
      [](const absl::Status&) {}, cancellation_);
  stream.StartAt(pack);
  const backup::format::Pack& of = manifest_->packs(pack);
  const uint64_t end = of.first_sequence() + of.chunks();
  for (uint64_t sequence = of.first_sequence(); sequence < end;) {
    LARDER_ASSIGN_OR_RETURN(StreamItem item, stream.Next());
    if (item.kind == StreamItem::Kind::kEnd) break;
    TableEntry entry;
    if (item.kind == StreamItem::Kind::kGap) {
      sequence = item.gap_first + item.gap_count;
      entry.is_gap = true;
      entry.reason = std::move(item.reason);
    } else {
      sequence = item.header.sequence + 1;
      if (item.header.source != source_) continue;
      entry.header = item.header;
      entry.payload_at = item.payload_at;
      if (item.header.Is(ChunkType::kRecords)) {
        table->records.push_back(table->entries.size());
      }
    }
    table->entries.push_back(std::move(entry));
  }
  const bool has_gaps =
      std::any_of(table->entries.begin(), table->entries.end(),
                  [](const TableEntry& entry) { return entry.is_gap; });
  if (has_gaps) LARDER_RETURN_IF_ERROR(archive_->CheckThere());
  if (tables_.size() == kTablesMax) tables_.clear();
  tables_[pack] = table;
  return std::shared_ptr<const PackTable>(std::move(table));
}

absl::StatusOr<std::string> PackTables::Stored(int pack,
                                               const TableEntry& entry,
                                               uint64_t offset,
                                               uint64_t bytes) {
  LARDER_CHECK(!seal_.sealed());
  return files_->Read(PackName(pack), entry.payload_at + offset, bytes);
}

absl::StatusOr<std::string> PackTables::Payload(int pack,
                                                const TableEntry& entry) {
  LARDER_RETURN_IF_ERROR(seal_.status());
  LARDER_ASSIGN_OR_RETURN(std::string stored,
                          files_->Read(PackName(pack), entry.payload_at,
                                       uint64_t{entry.header.stored_bytes}));
  absl::Status status = CheckPayload(entry.header, stored);
  if (status.ok()) {
    absl::StatusOr<std::string> payload =
        DecodePayload(entry.header, std::move(stored), seal_);
    if (payload.ok()) return payload;
    status = payload.status();
  }
  return absl::Status(
      status.code(),
      absl::StrCat(archive_->PackPath(PackName(pack)), ": at byte ",
                   entry.payload_at, ": ", status.message()));
}

}  // namespace larder::backup_internal
