#include "cache/policy.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/status_macros.h"

namespace larder::cache {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

// `a + b`, or the end of time. Requires: b >= 0.
int64_t AddSaturated(int64_t a, int64_t b) {
  return a > kForever - b ? kForever : a + b;
}

// The time to live that is left after the jitter; at least 1 ms.
int64_t JitteredTtlMs(const PutOptions& options, double jitter_unit) {
  const double share = options.jitter_pct / 100.0 * jitter_unit;
  const double cut_ms = static_cast<double>(options.ttl_ms) * share;
  // A cut that rounds up to the whole of int64_t must not be converted.
  if (cut_ms >= static_cast<double>(options.ttl_ms)) return 1;
  return std::max<int64_t>(1, options.ttl_ms - static_cast<int64_t>(cut_ms));
}

absl::Status ValidateBytes(absl::string_view field, size_t bytes,
                           int64_t bytes_max) {
  if (bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": empty"));
  }
  if (bytes > static_cast<size_t>(bytes_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", bytes, " bytes exceeds ", bytes_max));
  }
  return absl::OkStatus();
}

absl::Status ValidateCount(absl::string_view field, size_t count,
                           int64_t count_max) {
  if (count <= static_cast<size_t>(count_max)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", count, " entries exceeds ", count_max));
}

absl::Status ValidateRange(absl::string_view field, int64_t value,
                           int64_t value_max) {
  if (value >= 0 && value <= value_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is outside 0 to ", value_max));
}

absl::Status ValidateNames(absl::string_view field, absl::string_view singular,
                           const std::vector<std::string>& names,
                           int64_t count_max) {
  LARDER_RETURN_IF_ERROR(ValidateCount(field, names.size(), count_max));
  for (size_t i = 0; i < names.size(); ++i) {
    LARDER_RETURN_IF_ERROR(ValidateBytes(absl::StrCat(singular, " ", i),
                                         names[i].size(), kTagBytesMax));
  }
  return absl::OkStatus();
}

absl::Status ValidateMetadata(
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  LARDER_RETURN_IF_ERROR(
      ValidateCount("metadata", metadata.size(), kMetadataKeysMax));
  size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size();
  if (bytes == 0) return absl::OkStatus();
  return ValidateBytes("metadata", bytes, kMetadataBytesMax);
}

}  // namespace

Expiry ResolveExpiry(const PutOptions& options, int64_t now_unix_ms,
                     double jitter_unit) {
  Expiry expiry;
  expiry.idle_ttl_ms = options.idle_ttl_ms;
  expiry.stale_ms = options.stale_while_revalidate_ms;
  expiry.expires_at_unix_ms = options.expires_at_unix_ms;
  if (options.ttl_ms > 0) {
    // Not before 1: on a clock before 1970, 0 would mean "never".
    const int64_t by_ttl = std::max<int64_t>(
        1, AddSaturated(now_unix_ms, JitteredTtlMs(options, jitter_unit)));
    expiry.expires_at_unix_ms =
        options.expires_at_unix_ms == 0
            ? by_ttl
            : std::min(by_ttl, options.expires_at_unix_ms);
  }
  return expiry;
}

Liveness Judge(const Expiry& expiry, int64_t now_unix_ms,
               int64_t last_access_unix_ms) {
  const int64_t dead_at = DueAtUnixMillis(expiry, last_access_unix_ms);
  if (dead_at != 0 && now_unix_ms >= dead_at) return Liveness::kDead;
  const bool expires = expiry.expires_at_unix_ms != 0;
  return expires && now_unix_ms >= expiry.expires_at_unix_ms ? Liveness::kStale
                                                             : Liveness::kFresh;
}

int64_t DueAtUnixMillis(const Expiry& expiry, int64_t last_access_unix_ms) {
  int64_t due = 0;
  if (expiry.expires_at_unix_ms != 0) {
    due = AddSaturated(expiry.expires_at_unix_ms, expiry.stale_ms);
  }
  if (expiry.idle_ttl_ms != 0) {
    const int64_t idle_dead_at =
        AddSaturated(last_access_unix_ms, expiry.idle_ttl_ms);
    due = due == 0 ? idle_dead_at : std::min(due, idle_dead_at);
  }
  return due;
}

absl::Status ValidateNamespace(absl::string_view ns) {
  LARDER_RETURN_IF_ERROR(
      ValidateBytes("namespace", ns.size(), kNamespaceBytesMax));
  const size_t bad = ns.find_first_of(absl::string_view("\0\r\n", 3));
  if (bad == absl::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("namespace: byte 0x%02x at offset %d is not allowed",
                      static_cast<unsigned char>(ns[bad]), bad));
}

absl::Status ValidateKey(absl::string_view key) {
  return ValidateBytes("key", key.size(), kKeyBytesMax);
}

absl::Status ValidatePutOptions(const PutOptions& options) {
  LARDER_RETURN_IF_ERROR(ValidateRange("ttl_ms", options.ttl_ms, kForever));
  LARDER_RETURN_IF_ERROR(ValidateRange("expires_at_unix_ms",
                                       options.expires_at_unix_ms, kForever));
  LARDER_RETURN_IF_ERROR(
      ValidateRange("idle_ttl_ms", options.idle_ttl_ms, kForever));
  LARDER_RETURN_IF_ERROR(ValidateRange("stale_while_revalidate_ms",
                                       options.stale_while_revalidate_ms,
                                       kForever));
  LARDER_RETURN_IF_ERROR(ValidateRange("jitter_pct", options.jitter_pct, 100));
  LARDER_RETURN_IF_ERROR(
      ValidateRange("max_blob_bytes", options.max_blob_bytes, kForever));
  LARDER_RETURN_IF_ERROR(
      ValidateRange("l1_admission", static_cast<int64_t>(options.l1_admission),
                    static_cast<int64_t>(L1Admission::kNever)));
  LARDER_RETURN_IF_ERROR(ValidateNames("tags", "tag", options.tags, kTagsMax));
  LARDER_RETURN_IF_ERROR(ValidateNames("dependencies", "dependency",
                                       options.dependencies, kDependenciesMax));
  return ValidateMetadata(options.metadata);
}

}  // namespace larder::cache
