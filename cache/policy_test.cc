#include "cache/policy.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace larder::cache {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

struct ResolveCase {
  const char* what;
  int64_t ttl_ms;
  int64_t expires_at;
  int32_t jitter_pct;
  double jitter_unit;
  int64_t now;
  int64_t want_expires_at;
};

TEST(ResolveExpiryTest, Table) {
  const ResolveCase cases[] = {
      {"nothing set", 0, 0, 50, 0.5, kNow, 0},
      {"ttl", 1000, 0, 0, 0.9, kNow, kNow + 1000},
      {"absolute", 0, kNow + 5, 50, 0.9, kNow, kNow + 5},
      {"absolute in the past", 0, 1, 0, 0, kNow, 1},
      {"ttl is earlier", 1000, kNow + 1001, 0, 0, kNow, kNow + 1000},
      {"absolute is earlier", 1000, kNow + 999, 0, 0, kNow, kNow + 999},
      {"jitter draws nothing", 1000, 0, 20, 0.0, kNow, kNow + 1000},
      {"jitter draws half", 1000, 0, 20, 0.5, kNow, kNow + 900},
      {"jitter may pull below the absolute", 1000, kNow + 950, 20, 0.5, kNow,
       kNow + 900},
      {"all of the jitter leaves 1 ms", 1000, 0, 100, 0.99999, kNow, kNow + 1},
      {"jitter of 1 ms leaves 1 ms", 1, 0, 100, 0.99999, kNow, kNow + 1},
      {"ttl saturates", kMax, 0, 0, 0, kNow, kMax},
      {"largest sum that does not", kMax - kNow, 0, 0, 0, kNow, kMax},
      {"huge ttl with all of the jitter", kMax, 0, 100, 1 - 1e-17, kNow,
       kNow + 1},
      {"absolute at the end of time", 1, kMax, 0, 0, kMax, kMax},
      {"clock at 0", 1, 0, 0, 0, 0, 1},
      {"clock before 1970 never gives 0", 5, 0, 0, 0, -5, 1},
  };
  for (const ResolveCase& c : cases) {
    PutOptions options;
    options.ttl_ms = c.ttl_ms;
    options.expires_at_unix_ms = c.expires_at;
    options.jitter_pct = c.jitter_pct;
    options.idle_ttl_ms = 77;
    options.stale_while_revalidate_ms = 88;
    EXPECT_EQ(ResolveExpiry(options, c.now, c.jitter_unit),
              (Expiry{c.want_expires_at, 77, 88}))
        << c.what;
  }
}

struct JudgeCase {
  const char* what;
  Expiry expiry;
  int64_t now;
  int64_t last_access;
  Liveness want;
};

TEST(JudgeTest, Table) {
  const JudgeCase cases[] = {
      {"never expires", {0, 0, 0}, kMax, 0, Liveness::kFresh},
      {"stale window without expiry", {0, 0, 9}, kMax, 0, Liveness::kFresh},
      {"before expiry", {100, 0, 0}, 99, 0, Liveness::kFresh},
      {"at expiry, no stale window", {100, 0, 0}, 100, 99, Liveness::kDead},
      {"just before stale", {100, 0, 10}, 99, 0, Liveness::kFresh},
      {"stale at expiry", {100, 0, 10}, 100, 0, Liveness::kStale},
      {"last stale moment", {100, 0, 10}, 109, 0, Liveness::kStale},
      {"dead after the window", {100, 0, 10}, 110, 109, Liveness::kDead},
      {"idle: last live moment", {0, 50, 0}, 149, 100, Liveness::kFresh},
      {"idle-dead", {0, 50, 0}, 150, 100, Liveness::kDead},
      {"idle-dead before expiry", {1000, 50, 0}, 150, 100, Liveness::kDead},
      {"idle-dead within the window", {100, 50, 90}, 150, 100, Liveness::kDead},
      {"hard expiry beats a fresh read",
       {100, 50, 0},
       100,
       100,
       Liveness::kDead},
      {"read just now, stale", {100, 50, 20}, 105, 105, Liveness::kStale},
      {"window saturates", {kMax - 1, 0, kMax}, kMax - 1, 0, Liveness::kStale},
      {"idle time saturates", {0, kMax, 0}, kMax - 1, kNow, Liveness::kFresh},
      {"expired before the epoch's first ms", {1, 0, 0}, 1, 0, Liveness::kDead},
  };
  for (const JudgeCase& c : cases) {
    EXPECT_EQ(Judge(c.expiry, c.now, c.last_access), c.want) << c.what;
  }
}

TEST(DueAtTest, Table) {
  EXPECT_EQ(DueAtUnixMillis({0, 0, 0}, kNow), 0);
  EXPECT_EQ(DueAtUnixMillis({0, 0, 50}, kNow), 0);
  EXPECT_EQ(DueAtUnixMillis({100, 0, 0}, kNow), 100);
  EXPECT_EQ(DueAtUnixMillis({100, 0, 50}, kNow), 150);
  EXPECT_EQ(DueAtUnixMillis({0, 30, 0}, 100), 130);
  EXPECT_EQ(DueAtUnixMillis({120, 30, 5}, 100), 125);
  EXPECT_EQ(DueAtUnixMillis({120, 30, 50}, 100), 130);
  EXPECT_EQ(DueAtUnixMillis({kMax, 0, kMax}, 0), kMax);
  EXPECT_EQ(DueAtUnixMillis({0, kMax, 0}, kNow), kMax);
}

// The sweeper's rule and the reader's agree: dead exactly from the due time.
TEST(DueAtTest, IsTheFirstDeadMoment) {
  for (const int64_t expires_at : {0, 90, 100}) {
    for (const int64_t idle_ms : {0, 40, 60}) {
      for (const int64_t stale_ms : {0, 10}) {
        const Expiry expiry{expires_at, idle_ms, stale_ms};
        const int64_t due = DueAtUnixMillis(expiry, 50);
        if (due == 0) continue;
        EXPECT_NE(Judge(expiry, due - 1, 50), Liveness::kDead);
        EXPECT_EQ(Judge(expiry, due, 50), Liveness::kDead);
      }
    }
  }
}

std::string Message(const absl::Status& status) {
  if (!status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  }
  return std::string(status.message());
}

TEST(ValidateTest, Names) {
  EXPECT_EQ(Message(ValidateNamespace("a b/\xff")), "");
  EXPECT_EQ(Message(ValidateNamespace(std::string(255, 'n'))), "");
  EXPECT_EQ(Message(ValidateNamespace(std::string(300, 'n'))),
            "namespace: 300 bytes exceeds 255");
  EXPECT_EQ(Message(ValidateNamespace("")), "namespace: empty");
  EXPECT_EQ(Message(ValidateNamespace(std::string("ab\0c", 4))),
            "namespace: byte 0x00 at offset 2 is not allowed");
  EXPECT_EQ(Message(ValidateNamespace("\r")),
            "namespace: byte 0x0d at offset 0 is not allowed");
  EXPECT_EQ(Message(ValidateNamespace("x\n")),
            "namespace: byte 0x0a at offset 1 is not allowed");
  EXPECT_EQ(Message(ValidateKey(std::string("\0\r\n", 3))), "");
  EXPECT_EQ(Message(ValidateKey(std::string(1024, 'k'))), "");
  EXPECT_EQ(Message(ValidateKey(std::string(1025, 'k'))),
            "key: 1025 bytes exceeds 1024");
  EXPECT_EQ(Message(ValidateKey("")), "key: empty");
}

TEST(ValidateTest, NumbersOfPutOptions) {
  EXPECT_EQ(Message(ValidatePutOptions({})), "");
  PutOptions options;
  options.ttl_ms = options.expires_at_unix_ms = options.idle_ttl_ms = kMax;
  options.jitter_pct = 100;
  EXPECT_EQ(Message(ValidatePutOptions(options)), "");
  options.jitter_pct = 101;
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "jitter_pct: 101 is outside 0 to 100");
  options = {};
  options.ttl_ms = -1;
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "ttl_ms: -1 is outside 0 to 9223372036854775807");
  for (int64_t PutOptions::*field :
       {&PutOptions::ttl_ms, &PutOptions::expires_at_unix_ms,
        &PutOptions::idle_ttl_ms, &PutOptions::stale_while_revalidate_ms,
        &PutOptions::max_blob_bytes}) {
    options = {};
    options.*field = -1;
    EXPECT_NE(Message(ValidatePutOptions(options)), "");
  }
  options = {};
  options.l1_admission = static_cast<L1Admission>(3);
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "l1_admission: 3 is outside 0 to 2");
}

TEST(ValidateTest, ListsOfPutOptions) {
  PutOptions options;
  options.tags.assign(32, std::string(255, 't'));
  options.dependencies.assign(32, std::string(255, 'd'));
  options.metadata.assign(32, {std::string(64, 'k'), std::string(64, 'v')});
  EXPECT_EQ(Message(ValidatePutOptions(options)), "");
  options.metadata[31].second += 'v';
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "metadata: 4097 bytes exceeds 4096");
  options.metadata.assign(33, {});
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "metadata: 33 entries exceeds 32");
  options.dependencies[7] += 'd';
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "dependency 7: 256 bytes exceeds 255");
  options.dependencies.assign(33, "d");
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "dependencies: 33 entries exceeds 32");
  options.tags[3].clear();
  EXPECT_EQ(Message(ValidatePutOptions(options)), "tag 3: empty");
  options.tags.assign(33, "t");
  EXPECT_EQ(Message(ValidatePutOptions(options)),
            "tags: 33 entries exceeds 32");
}

}  // namespace
}  // namespace larder::cache
