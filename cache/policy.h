// What a put asks for, and the pure rules that say when a blob has expired.
#ifndef LARDER_CACHE_POLICY_H_
#define LARDER_CACHE_POLICY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::cache {

// Limits of names and attributes.
// Source of the key limit: S3's 1,024 bytes, so that every key can name an
// object there. The others are design.md's (32 keys, 4 KiB) or follow from two
// records having to fit a 4 KiB page.
inline constexpr int64_t kNamespaceBytesMax = 255;
inline constexpr int64_t kKeyBytesMax = 1024;
inline constexpr int64_t kTagsMax = 32;          // Of one blob.
inline constexpr int64_t kDependenciesMax = 32;  // Of one blob.
inline constexpr int64_t kTagBytesMax = 255;     // One tag or dependency.
inline constexpr int64_t kMetadataKeysMax = 32;
inline constexpr int64_t kMetadataBytesMax = 4096;  // All keys and values.
inline constexpr int64_t kBlobBytesMax = int64_t{4} << 30;  // 4 GiB.

// Whether a put also enters L1.
enum class L1Admission : uint8_t { kAuto = 0, kAlways = 1, kNever = 2 };

// Attributes of a put. A plain value. All times in milliseconds; 0: not set.
struct PutOptions {
  int64_t ttl_ms = 0;
  // Hard expiry, Unix milliseconds. With `ttl_ms` set too, the earlier wins.
  int64_t expires_at_unix_ms = 0;
  // Dead when not read for so long.
  int64_t idle_ttl_ms = 0;
  // How long after its expiry a blob may still be served, marked stale.
  int64_t stale_while_revalidate_ms = 0;
  // Shortens `ttl_ms` by a random share of up to so many percent (0 to 100),
  // so that what was put together does not expire together.
  int32_t jitter_pct = 0;
  uint8_t priority = 128;      // Higher stays longer.
  int64_t max_blob_bytes = 0;  // Refuse a larger blob; 0: only kBlobBytesMax.
  L1Admission l1_admission = L1Admission::kAuto;
  uint64_t version = 0;  // The caller's; what CompareAndSet compares.
  std::vector<std::string> tags = {};
  std::vector<std::string> dependencies = {};
  std::vector<std::pair<std::string, std::string>> metadata = {};
};

// The expiry part of a put, resolved to absolute times. A plain value.
struct Expiry {
  int64_t expires_at_unix_ms = 0;  // 0: never.
  int64_t idle_ttl_ms = 0;         // 0: not idle-limited.
  int64_t stale_ms = 0;            // Served stale for so long after expiry.

  friend bool operator==(const Expiry&, const Expiry&) = default;
};

// Resolves `options` at `now_unix_ms`. `jitter_unit` in [0, 1) is the random
// share of the jitter; the caller draws it.
Expiry ResolveExpiry(const PutOptions& options, int64_t now_unix_ms,
                     double jitter_unit);

enum class Liveness { kFresh, kStale, kDead };

// Says whether a blob may be served. Hard expiry always wins: nothing is
// served past `expires_at_unix_ms + stale_ms`, however recently it was read.
// Edges: dead at exactly that time; stale at exactly `expires_at_unix_ms`;
// idle-dead at exactly `last_access_unix_ms + idle_ttl_ms`.
Liveness Judge(const Expiry& expiry, int64_t now_unix_ms,
               int64_t last_access_unix_ms);

// When the sweeper should look at the blob: the earliest time at which it can
// be dead if it is not read after `last_access_unix_ms`. 0: never.
int64_t DueAtUnixMillis(const Expiry& expiry, int64_t last_access_unix_ms);

// Checks limits of names and attributes.
// Errors: kInvalidArgument naming the field, its size and the limit.
absl::Status ValidateNamespace(absl::string_view ns);  // 1..255 B, no NUL/CR/LF
absl::Status ValidateKey(absl::string_view key);       // 1..1,024 B, any bytes
absl::Status ValidatePutOptions(const PutOptions& options);

}  // namespace larder::cache

#endif  // LARDER_CACHE_POLICY_H_
