#include "tests/crash/kill_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using Kind = KillOperation::Kind;

constexpr double kBytesMin = 100, kBytesMax = 1 << 20;
constexpr uint64_t kScratchBytesMax = 16 << 10;
// Of sizes that are uniform in their logarithm.
const double kBytesMean =
    (kBytesMax - kBytesMin) / std::log(kBytesMax / kBytesMin);

// How many of 10,000 operations are of each kind.
constexpr struct {
  Kind kind;
  uint64_t share;
} kShares[] = {
    {Kind::kPut, 5500},     {Kind::kGet, 1500},
    {Kind::kDelete, 900},   {Kind::kPrefix, 60},
    {Kind::kTag, 120},      {Kind::kDependency, 80},
    {Kind::kFlush, 90},     {Kind::kSweepL1, 200},
    {Kind::kSweepDue, 350}, {Kind::kSweepTombstoned, 500},
    {Kind::kReclaim, 250},  {Kind::kSnapshot, 50},
    {Kind::kCommit, 400},
};

// SplitMix64: any seed is good, and costs nothing.
class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

Draw DrawFor(const KillPlan& plan, int thread, uint64_t number) {
  Draw seed(plan.seed * kKillThreads + static_cast<uint64_t>(thread));
  return Draw(seed.Next() + number * 0xd1342543de82ef95u);
}

}  // namespace

uint64_t KillKeys(const KillPlan& plan) {
  // About half of them are there at any time.
  const double share = plan.evicting ? 3.0 : 0.65;
  return std::max<uint64_t>(
      20, static_cast<uint64_t>(share * static_cast<double>(plan.bytes_max) /
                                kBytesMean / kKillThreads));
}

uint64_t KillGroups(const KillPlan& plan) {
  return std::max<uint64_t>(10, KillKeys(plan) / 10);
}

KillOperation KillOperationAt(const KillPlan& plan, int thread,
                              uint64_t number) {
  Draw draw = DrawFor(plan, thread, number);
  KillOperation o;
  o.thread = thread;
  o.number = number;
  uint64_t drawn = draw.Below(10'000);
  const auto* s = kShares;
  for (; drawn >= s->share; ++s) drawn -= s->share;
  o.kind = s->kind;
  o.scratch = draw.Below(4) == 0;
  // All of a main namespace goes seldom, or little would ever be there.
  const uint64_t groups = KillGroups(plan);
  if (o.kind == Kind::kFlush) o.scratch = draw.Below(groups) != 0;
  o.key = draw.Below(o.scratch ? kKillScratchKeys : KillKeys(plan));
  o.prefix = o.key % groups;
  o.tag = draw.Below(groups);
  o.dependency = draw.Below(groups);
  if (o.kind != Kind::kPut) return o;
  o.bytes = o.scratch
                ? 100 + draw.Below(kScratchBytesMax)
                : static_cast<uint64_t>(
                      kBytesMin * std::pow(kBytesMax / kBytesMin, draw.Unit()));
  if (draw.Below(10) == 0) {
    o.ttl_ms = 10 + static_cast<int64_t>(draw.Below(2000));
  }
  return o;
}

std::string KillNamespace(int thread, bool scratch) {
  return absl::StrCat(scratch ? "scratch" : "main", thread);
}
std::string KillKeyName(const KillPlan& plan, uint64_t key) {
  return absl::StrCat(KillPrefixName(key % KillGroups(plan)), key);
}
std::string KillPrefixName(uint64_t prefix) {
  return absl::StrCat("p", prefix, "/");
}
std::string KillTagName(uint64_t tag) { return absl::StrCat("t", tag); }
std::string KillDependencyName(uint64_t dependency) {
  return absl::StrCat("d", dependency);
}

std::string KillBytes(const KillPlan& plan, const KillOperation& put) {
  Draw draw = DrawFor(plan, put.thread, ~put.number);
  const uint64_t seed = draw.Next();
  if (draw.Below(3) != 0) return Incompressible(put.bytes, seed);
  std::string bytes(put.bytes, static_cast<char>('a' + seed % 26));
  for (size_t at = seed % 97; at < bytes.size(); at += 97) {
    bytes[at] = static_cast<char>(draw.Next());
  }
  return bytes;
}

cache::PutOptions KillPutOptions(const KillOperation& put) {
  cache::PutOptions o;
  o.version = put.number + 1;
  o.tags = {KillTagName(put.tag)};
  o.dependencies = {KillDependencyName(put.dependency)};
  o.ttl_ms = put.ttl_ms;
  return o;
}

cache::BlobCacheOptions KillCacheOptions(const KillPlan& plan,
                                         const std::string& directory,
                                         cache::Durability durability) {
  cache::BlobCacheOptions o;
  o.l2_path = directory;
  o.l2_bytes_max = plan.bytes_max;
  o.l1_bytes_max = 4 << 20;  // Most reads come from L2.
  o.durability = durability;
  o.commit_interval_ms = 20;
  return o;
}

}  // namespace larder::tests
