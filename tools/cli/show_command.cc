#include "tools/cli/show_command.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/checksum.h"
#include "backup/format/dump.pb.h"
#include "backup/format/names.h"
#include "backup/verification.h"
#include "cache/status_macros.h"
#include "tools/cli/instant.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/units.h"
#include "tools/cli/verified.h"
#include "tools/cli/verify_report.h"

namespace larder::cli {
namespace {

using backup::SnapshotEntry;
using backup::format::CacheInfo;
using backup::format::SourceEnd;
using backup::format::SourceInfo;

absl::uint128 DigestOf(const CacheInfo& cache) {
  absl::uint128 digest = 0;
  backup::format::DecodeUint128(cache.content_digest(), &digest);
  return digest;
}

// What a dump holds of a cache, and what its snapshot stands for.
void AddCache(const CacheInfo& cache, JsonObject* facts) {
  facts->String("lineage", cache.lineage())
      .Id("base_epoch", cache.base_epoch())
      .Id("epoch", cache.epoch())
      .Digest("content_digest", DigestOf(cache))
      .Bool("blobs_included", cache.blobs_included())
      .Int("namespaces", cache.namespaces())
      .Int("tombstones", cache.tombstones())
      .Int("blobs", cache.records())
      .Int("bytes", cache.raw_bytes())
      .Int("stored_bytes", cache.stored_bytes());
}

JsonObject SourceFacts(const SourceInfo& source, const SourceEnd& end) {
  JsonObject facts;
  const auto& totals = end.totals();
  facts.String("name", source.name())
      .Bool("taken", end.status_code() == 0)
      .Int("blobs_in_dump", totals.records())
      .Int("blob_bytes_in_dump", totals.raw_bytes())
      .Int("files", totals.files())
      .Int("file_bytes", totals.file_bytes())
      .Int("problems", totals.problems_count());
  if (end.status_code() != 0) {
    facts.String("error", backup::format::Printable(end.status_message()));
  }
  if (source.kind() == backup::format::SOURCE_KIND_BLOB_CACHE) {
    AddCache(source.cache(), &facts);
  }
  return facts;
}

void SayCache(const CacheInfo& cache, const SourceEnd& end, Console* console) {
  const auto& totals = end.totals();
  if (!cache.blobs_included()) {
    SayRow(console, "  blobs", "left out: generations and tombstones only");
  } else if (cache.base_epoch() == 0) {
    SayRow(console, "  blobs",
           absl::StrCat(FormatCount(totals.records()), ", ",
                        FormatBytes(totals.raw_bytes()), ", stored in ",
                        FormatBytes(totals.stored_bytes())));
  } else {
    SayRow(console, "  blobs",
           absl::StrCat(FormatCount(cache.records()), ", ",
                        FormatBytes(cache.raw_bytes()), ", stored in ",
                        FormatBytes(cache.stored_bytes())));
    SayRow(console, "  new",
           absl::StrCat(FormatCount(totals.records()), ", ",
                        FormatBytes(totals.raw_bytes()), ", since epoch ",
                        cache.base_epoch()));
  }
  SayRow(console, "  lineage", cache.lineage());
  SayRow(console, "  epoch", absl::StrCat(cache.epoch()));
  SayRow(console, "  digest", DigestText(DigestOf(cache)));
}

void SaySource(const SourceInfo& source, const SourceEnd& end,
               Console* console) {
  const bool is_cache = source.kind() == backup::format::SOURCE_KIND_BLOB_CACHE;
  SayRow(console, "source",
         absl::StrCat(source.name(), is_cache ? ", a blob cache" : ", files"));
  if (end.status_code() != 0) {
    SayRow(console, "  failed",
           backup::format::Printable(end.status_message()));
  } else if (is_cache) {
    SayCache(source.cache(), end, console);
  } else {
    SayRow(console, "  files",
           absl::StrCat(FormatCount(end.totals().files()), ", ",
                        FormatBytes(end.totals().file_bytes())));
  }
  for (const std::string& problem : end.totals().problems()) {
    SayRow(console, "  problem", backup::format::Printable(problem));
  }
  const int64_t unlisted =
      end.totals().problems_count() - end.totals().problems_size();
  if (unlisted > 0) {
    SayRow(console, "  problem", absl::StrCat(unlisted, " more"));
  }
}

// The dumps that a restore reads, the full one first.
void ShowChain(const backup::Archive& archive, const SnapshotEntry& entry,
               Console* console, CommandResult* result) {
  const auto chain = archive.Chain(entry);
  if (!chain.ok()) return;  // It is told as incomplete.
  JsonArray ids;
  int64_t bytes = 0;
  for (const SnapshotEntry& layer : *chain) {
    ids.String(layer.id);
    bytes += layer.bytes;
    if (chain->size() == 1) continue;
    SayRow(console, layer.deltas == 0 ? "chain" : "",
           absl::StrCat(layer.id, ", ", FormatBytes(layer.bytes),
                        layer.deltas == 0
                            ? std::string(", full")
                            : absl::StrCat(", delta ", layer.deltas)));
  }
  result->facts.Array("chain", ids).Int("chain_bytes", bytes);
}

absl::Status Show(const ShowFlags& flags, Console* console,
                  CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr));
  LARDER_ASSIGN_OR_RETURN(const SnapshotEntry entry,
                          archive.Find(flags.snapshot));
  const backup::format::DumpHeader& header = entry.manifest.header();
  result->facts.String("id", entry.id)
      .Bool("complete", entry.complete)
      .Int("created_unix_ms", header.created_unix_ms())
      .Id("ordinal", entry.manifest.ordinal())
      .Int("archive_bytes", entry.bytes)
      .Int("packs", entry.manifest.packs_size())
      .Id("chunks", entry.manifest.trailer().chunks() + 1)
      .String("base", header.base_snapshot_id())
      .Int("deltas", entry.deltas);
  SayRow(console, "snapshot", entry.id);
  SayRow(console, "made",
         FormatInstant(header.created_unix_ms(), absl::LocalTimeZone()));
  if (header.has_encryption()) {
    const std::string key_id =
        backup::crypto::PrintKeyId(header.encryption().key_id());
    result->facts.String("key_id", key_id);
    SayRow(console, "sealed", absl::StrCat("with key ID ", key_id));
  }
  SayRow(console, "archived",
         absl::StrCat(FormatBytes(entry.bytes), " in ",
                      FormatPlural(entry.manifest.packs_size(), "pack")));
  const auto verified = backup::ReadVerification(archive, entry.id);
  AddVerified(verified, &result->facts);
  SayRow(console, "verified", VerifiedText(verified, absl::LocalTimeZone()));
  ShowChain(archive, entry, console, result);
  JsonArray sources;
  for (int i = 0; i < header.sources_size(); ++i) {
    const SourceEnd& end = entry.manifest.trailer().sources(i);
    sources.Object(SourceFacts(header.sources(i), end));
    SaySource(header.sources(i), end, console);
  }
  result->facts.Array("sources", sources);
  if (!entry.complete) {
    console->Fail(entry.id, entry.incomplete_reason, &result->failures);
  }
  return absl::OkStatus();
}

}  // namespace

CommandResult RunShow(const ShowFlags& flags, Console* console) {
  CommandResult result;
  result.status = Show(flags, console, &result);
  return result;
}

}  // namespace larder::cli
