#include "tests/crash/replication_plan.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using Kind = ReplicationChange::Kind;

constexpr uint64_t kKeys = 40;  // Of each namespace.
constexpr size_t kBytesMax = 20'000;
// Several messages, now and then.
constexpr size_t kLargeBytes = 1'500'000;

std::mt19937_64 Random(uint64_t seed, uint64_t step) {
  return std::mt19937_64(seed * 1'000'003 + step);
}

}  // namespace

std::vector<ReplicationChange> ReplicationStep(uint64_t seed, uint64_t step) {
  std::mt19937_64 random = Random(seed, step);
  std::vector<ReplicationChange> changes;
  if (random() % 6 == 0) {
    changes.push_back({.kind = Kind::kFlush, .ns = kFlushedNamespace});
  }
  const uint64_t count = 1 + random() % 6;
  for (uint64_t i = 0; i < count; ++i) {
    ReplicationChange change;
    change.ns = random() % 4 == 0 ? kFlushedNamespace : "kept";
    change.key = absl::StrCat("key", random() % kKeys);
    change.kind = random() % 5 == 0 ? Kind::kDelete : Kind::kPut;
    if (change.kind == Kind::kPut)
      change.bytes = ContentOf(random() >> 1, kBytesMax);
    changes.push_back(std::move(change));
  }
  if (random() % 8 == 0) {
    changes.push_back({.ns = "kept",
                       .key = "large",
                       .bytes = Incompressible(kLargeBytes, random())});
  }
  changes.push_back(
      {.ns = kStepNamespace, .key = kStepKey, .bytes = absl::StrCat(step)});
  return changes;
}

std::vector<std::pair<std::string, std::string>> ReplicationNames() {
  std::vector<std::pair<std::string, std::string>> names = {
      {"kept", "large"}, {kStepNamespace, kStepKey}};
  for (const char* ns : {"kept", kFlushedNamespace}) {
    for (uint64_t key = 0; key < kKeys; ++key) {
      names.emplace_back(ns, absl::StrCat("key", key));
    }
  }
  return names;
}

bool StepFlushes(uint64_t seed, uint64_t step) {
  return ReplicationStep(seed, step)[0].kind == Kind::kFlush;
}

void ApplyStep(uint64_t seed, uint64_t step, ReplicationModel* model) {
  for (ReplicationChange& change : ReplicationStep(seed, step)) {
    switch (change.kind) {
      case Kind::kPut:
        (*model)[{change.ns, change.key}] = std::move(change.bytes);
        break;
      case Kind::kDelete:
        model->erase({change.ns, change.key});
        break;
      case Kind::kFlush:
        std::erase_if(*model, [&](const auto& entry) {
          return entry.first.first == change.ns;
        });
        break;
    }
  }
}

cache::BlobCacheOptions ReplicationCacheOptions(const std::string& directory) {
  cache::BlobCacheOptions options;
  options.l2_path = directory;
  options.l1_bytes_max = 1 << 20;
  options.l2_bytes_max = int64_t{64} << 20;
  options.durability = cache::Durability::kEveryPut;
  return options;
}

}  // namespace larder::tests
