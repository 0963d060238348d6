#include "tests/crash/stored_contents.h"

#include <cstddef>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"
#include "cache/xxh3.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using cache::DeltaRange;
using cache::Snapshot;
using cache::StoredRecord;

absl::Status CheckUndamaged(const std::vector<std::string>& damage) {
  return damage.empty() ? absl::OkStatus() : absl::DataLossError(damage[0]);
}

absl::StatusOr<StoredBlob> ReadBlob(const Snapshot& snapshot,
                                    const StoredRecord& record) {
  LARDER_RETURN_IF_ERROR(record.status);
  StoredBlob blob{record.attributes.hlc,
                  record.attributes.expiry,
                  record.attributes.version,
                  record.attributes.priority,
                  record.raw_bytes,
                  record.payload_checksum,
                  /*frames=*/""};
  for (size_t i = 0; i < record.frames.size(); ++i) {
    LARDER_RETURN_IF_ERROR(snapshot.ReadFrame(record, i, &blob.frames));
  }
  return blob;
}

void AppendNumber(std::string* to, uint64_t number) {
  for (int i = 0; i < 8; ++i) {
    to->push_back(static_cast<char>(number >> (8 * i)));
  }
}

// Lengths below 128 are one byte: all names here are.
void AppendName(std::string* to, absl::string_view name) {
  to->push_back(static_cast<char>(name.size()));
  to->append(name.data(), name.size());
}

absl::uint128 Term(const std::pair<std::string, std::string>& name,
                   const Expected& blob, uint64_t raw_bytes,
                   uint64_t payload_checksum) {
  std::string bytes;
  AppendName(&bytes, name.first);
  AppendName(&bytes, name.second);
  AppendNumber(&bytes, blob.hlc.value);
  AppendNumber(&bytes, static_cast<uint64_t>(blob.options.expires_at_unix_ms));
  AppendNumber(&bytes, static_cast<uint64_t>(blob.options.idle_ttl_ms));
  AppendNumber(&bytes,
               static_cast<uint64_t>(blob.options.stale_while_revalidate_ms));
  AppendNumber(&bytes, blob.options.version);
  bytes.push_back(static_cast<char>(blob.options.priority));
  AppendNumber(&bytes, raw_bytes);
  AppendNumber(&bytes, payload_checksum);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return absl::MakeUint128(hash.high64, hash.low64);
}

}  // namespace

absl::StatusOr<StoredContents> ReadStored(const Snapshot& snapshot) {
  StoredContents contents;
  Snapshot::Position position;
  while (!position.at_end) {
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    LARDER_RETURN_IF_ERROR(snapshot.Read(9, &position, &records, &damage));
    LARDER_RETURN_IF_ERROR(CheckUndamaged(damage));
    for (const StoredRecord& record : records) {
      LARDER_ASSIGN_OR_RETURN(contents[std::make_pair(record.ns, record.key)],
                              ReadBlob(snapshot, record));
    }
  }
  return contents;
}

absl::StatusOr<StoredContents> ApplyDelta(const Snapshot& snapshot,
                                          const cache::SnapshotInfo& info,
                                          StoredContents base) {
  Snapshot::Position position;
  while (!position.at_end) {
    std::vector<DeltaRange> ranges;
    std::vector<std::string> damage;
    LARDER_RETURN_IF_ERROR(
        snapshot.ReadDelta({info.epoch, info.complete_through}, {.changed = 5},
                           &position, &ranges, &damage));
    LARDER_RETURN_IF_ERROR(CheckUndamaged(damage));
    for (const DeltaRange& range : ranges) {
      std::multiset<uint64_t> kept(range.kept.begin(), range.kept.end());
      std::erase_if(base, [&](const auto& entry) {
        const auto& [ns, key] = entry.first;
        if (ns != range.ns || key < range.from ||
            (!range.until.empty() && key >= range.until)) {
          return false;
        }
        const auto it = kept.find(cache::RecordFingerprint(
            cache::NameHash(ns, key), entry.second.hlc));
        if (it == kept.end()) return true;
        kept.erase(it);
        return false;
      });
      if (!kept.empty()) {
        return absl::DataLossError(
            absl::StrCat("delta since epoch ", info.epoch, ": the base lacks ",
                         kept.size(), " records from ", range.from, " on"));
      }
      for (const StoredRecord& record : range.changed) {
        LARDER_ASSIGN_OR_RETURN(base[std::make_pair(record.ns, record.key)],
                                ReadBlob(snapshot, record));
      }
    }
  }
  return base;
}

absl::StatusOr<absl::uint128> DigestOf(const Contents& contents,
                                       size_t content_bytes_max,
                                       const StoredContents& stored) {
  for (const auto& [name, blob] : stored) {
    if (contents.contains(name)) continue;
    return absl::DataLossError(absl::StrCat(name.first, "/", name.second,
                                            ": stored, and not of the model"));
  }
  absl::uint128 digest = 0;
  for (const auto& [name, blob] : contents) {
    const auto it = stored.find(name);
    if (it == stored.end()) {
      return absl::DataLossError(
          absl::StrCat(name.first, "/", name.second, ": not stored"));
    }
    const bool is_plain = blob.options.tags.empty() &&
                          blob.options.dependencies.empty() &&
                          blob.options.metadata.empty();
    const std::string bytes = ContentOf(blob.content, content_bytes_max);
    // A blob of one frame without a header block.
    const bool says_all = is_plain && bytes.size() <= 256 * 1024;
    const std::string& frames = it->second.frames;
    digest += Term(name, blob, bytes.size(),
                   says_all ? XXH3_64bits(frames.data(), frames.size())
                            : it->second.payload_checksum);
  }
  return digest;
}

}  // namespace larder::tests
