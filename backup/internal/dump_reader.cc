#include "backup/internal/dump_reader.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/internal/pack_stream.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::Manifest;

namespace {

// Compares a chunk that the manifest repeats.
void CheckRepeated(absl::string_view what, absl::string_view payload,
                   const google::protobuf::Message& expected,
                   const ProblemFn& problem) {
  if (payload == backup::format::SerializeMessage(expected)) return;
  problem(absl::DataLossError(
      absl::StrCat(what, " chunk: not what the manifest says")));
}

void CheckDigest(const PackStream& stream, const Manifest& manifest,
                 const ProblemFn& problem) {
  absl::uint128 expected = 0;
  backup::format::DecodeUint128(manifest.trailer().stream_digest(), &expected);
  if (stream.stream_digest() == expected) return;
  problem(absl::DataLossError(
      absl::StrFormat("stream digest: %s vs expected %s",
                      backup::format::Hex(stream.stream_digest()),
                      backup::format::Hex(expected))));
}

// Gathers the parts of one source's invalidations.
class PartCollector {
 public:
  explicit PartCollector(InvalidationSet* set) : set_(set) {}

  // Errors: kDataLoss when the part cannot be used.
  absl::Status Take(absl::string_view payload) {
    backup::format::Invalidations message;
    LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(payload, &message));
    constexpr uint32_t kPartsMax =
        static_cast<uint32_t>(backup::format::kInvalidationBytesMax >> 10);
    if (message.parts() == 0 || message.parts() > kPartsMax ||
        message.part() >= message.parts() ||
        (parts_ != 0 && parts_ != message.parts())) {
      return absl::DataLossError(absl::StrFormat(
          "invalidations: part %d of %d", message.part(), message.parts()));
    }
    parts_ = message.parts();
    if (!seen_.insert(message.part()).second) return absl::OkStatus();
    return set_->Add(message);
  }

  bool complete() const { return parts_ != 0 && seen_.size() == parts_; }

 private:
  InvalidationSet* const set_;
  uint32_t parts_ = 0;
  absl::flat_hash_set<uint32_t> seen_;
};

}  // namespace

absl::Status ReadDump(const backup::Archive& archive, const Manifest& manifest,
                      const SourceReaders& readers,
                      const DumpReaderOptions& options,
                      const ProblemFn& problem) {
  const auto wanted = [&](const ChunkHeader& header) {
    return options.read_all || readers.contains(header.source) ||
           header.source == backup::format::kNoSource;
  };
  bool whole = true;
  PackStream stream(&archive, &manifest, wanted, problem, options.cancellation);
  if (options.keep_sealed) stream.KeepSealed();
  while (true) {
    LARDER_ASSIGN_OR_RETURN(const StreamItem item, stream.Next());
    if (options.progress) options.progress(stream.bytes_done());
    if (item.kind == StreamItem::Kind::kEnd) break;
    if (item.kind == StreamItem::Kind::kGap) {
      whole = false;
      for (const auto& [index, reader] : readers) reader->OnGap(item.reason);
      continue;
    }
    if (item.header.Is(ChunkType::kHeader)) {
      CheckRepeated("header", item.payload, manifest.header(), problem);
    } else if (item.header.Is(ChunkType::kTrailer)) {
      CheckRepeated("trailer", item.payload, manifest.trailer(), problem);
    }
    const auto reader = readers.find(item.header.source);
    if (reader != readers.end()) {
      LARDER_RETURN_IF_ERROR(
          reader->second->OnChunk(item.header, item.payload));
    }
  }
  if (whole) CheckDigest(stream, manifest, problem);
  for (const auto& [index, reader] : readers) {
    LARDER_RETURN_IF_ERROR(reader->Finish());
  }
  return absl::OkStatus();
}

absl::Status ReadInvalidations(const backup::Archive& archive,
                               const Manifest& manifest, uint16_t index,
                               const ProblemFn& problem,
                               const backup::Cancellation* cancellation,
                               InvalidationSet* set) {
  const auto wanted = [&](const ChunkHeader& header) {
    return header.source == index && header.Is(ChunkType::kInvalidations);
  };
  PackStream stream(&archive, &manifest, wanted, problem, cancellation);
  PartCollector collector(set);
  absl::Status why = absl::DataLossError("they are not in the dump");
  while (!collector.complete()) {
    LARDER_ASSIGN_OR_RETURN(const StreamItem item, stream.Next());
    if (item.kind == StreamItem::Kind::kEnd) break;
    if (item.kind == StreamItem::Kind::kGap) why = item.reason;
    if (item.kind == StreamItem::Kind::kChunk && wanted(item.header)) {
      const absl::Status taken = collector.Take(item.payload);
      if (!taken.ok() && !absl::IsDataLoss(taken)) return taken;
      if (!taken.ok()) why = taken;
    }
  }
  if (collector.complete()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("snapshot ", manifest.header().snapshot_id(),
                   ": generations and tombstones: unreadable in both copies: ",
                   why.message()));
}

}  // namespace larder::backup_internal
