#include "tools/cli/ls_command.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

// A string behind which the walk meets `prefix` first, when it is a key.
std::string JustBefore(std::string prefix) {
  if (prefix.empty()) return prefix;
  const auto last = static_cast<unsigned char>(prefix.back());
  prefix.pop_back();
  // "ab\0" comes right after "ab".
  if (last == 0) return prefix;
  prefix.push_back(static_cast<char>(last - 1));
  prefix.resize(
      std::max(prefix.size(), static_cast<size_t>(cache::kKeyBytesMax)),
      '\xff');
  return prefix;
}

class Lister {
 public:
  Lister(const LsFlags& flags, Console* console)
      : flags_(flags),
        console_(console),
        limit_(flags.limit > 0 ? flags.limit
                               : std::numeric_limits<int64_t>::max()),
        now_unix_ms_(cache::SystemClock()->NowUnixMillis()) {}

  // Returns whether to go on.
  bool Visit(const cache::BlobCache::L2RecordView& record) {
    if (!absl::StartsWith(record.key, flags_.prefix)) return false;
    if (!record.valid) return true;
    // One more than asked for, to know that there is more.
    if (blobs_ == limit_) {
      truncated_ = true;
      return false;
    }
    ++blobs_;
    bytes_ += static_cast<int64_t>(record.raw_bytes);
    if (console_->options().json) {
      AddJson(record);
    } else if (!console_->options().quiet) {
      Print(record);
    }
    return true;
  }

  void Report(JsonObject* facts) {
    facts->String("namespace", flags_.ns)
        .Int("blobs", blobs_)
        .Int("bytes", bytes_)
        .Bool("truncated", truncated_)
        .Array("entries", entries_);
    console_->Say(absl::StrCat(FormatPlural(blobs_, "blob"), ", ",
                               FormatBytes(bytes_),
                               truncated_ ? "; there is more" : ""));
  }

 private:
  void AddJson(const cache::BlobCache::L2RecordView& record) {
    entries_.Object(
        JsonObject()
            .Bytes("key", record.key)
            .Int("bytes", static_cast<int64_t>(record.raw_bytes))
            .Int("stored_bytes", static_cast<int64_t>(record.stored_bytes))
            .Int("put_unix_ms", record.hlc.unix_millis())
            .Int("expires_at_unix_ms", record.expiry.expires_at_unix_ms)
            .Id("version", record.version)
            .Id("hlc", record.hlc.value));
  }

  void Print(const cache::BlobCache::L2RecordView& record) {
    const int64_t age_ms =
        std::max<int64_t>(0, now_unix_ms_ - record.hlc.unix_millis());
    std::string expiry = "-";
    if (record.expiry.expires_at_unix_ms != 0) {
      const int64_t left_ms = record.expiry.expires_at_unix_ms - now_unix_ms_;
      expiry = left_ms > 0 ? FormatMillis(left_ms) : "stale";
    }
    if (blobs_ == 1) {
      console_->Say(absl::StrFormat("%10s  %8s  %8s  %s", "size", "age",
                                    "expires", "key"));
    }
    console_->Say(
        absl::StrFormat("%10s  %8s  %8s  %s",
                        FormatBytes(static_cast<int64_t>(record.raw_bytes)),
                        FormatMillis(age_ms), expiry, Printable(record.key)));
  }

  const LsFlags& flags_;
  Console* const console_;
  const int64_t limit_;
  const int64_t now_unix_ms_;
  int64_t blobs_ = 0;
  int64_t bytes_ = 0;
  bool truncated_ = false;
  JsonArray entries_;
};

absl::Status Ls(const LsFlags& flags, Console* console, CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kLook));
  const absl::Status whole = CheckWhole(flags.cache.l2);
  if (!whole.ok()) console->Warn(whole.message());
  result->facts.Bool("hydrating", !whole.ok());
  LARDER_RETURN_IF_ERROR(CheckNamespaceExists(*cache, flags.ns));
  Lister lister(flags, console);
  LARDER_RETURN_IF_ERROR(cache->ForEachL2Record(
      flags.ns, std::max(flags.after, JustBefore(flags.prefix)),
      [&](const auto& record) { return lister.Visit(record); }));
  lister.Report(&result->facts);
  return absl::OkStatus();
}

}  // namespace

CommandResult RunLs(const LsFlags& flags, Console* console) {
  CommandResult result;
  result.status = Ls(flags, console, &result);
  return result;
}

}  // namespace larder::cli
