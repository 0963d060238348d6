// What a tree costs once its pages are in memory and verified. The argument of
// each case is the number of keys.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "cache/check.h"
#include "cache/l2/btree.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {
namespace {

// As large as the record of a blob that is not inline.
constexpr size_t kValueBytes = 40;
constexpr size_t kBatchOps = 5000;

// Pages side by side in memory, trusted, and reused as soon as they are free.
class FlatPages : public PageSource, public PageSink {
 public:
  explicit FlatPages(size_t pages) : bytes_(new char[pages * kPageBytes]) {}

  absl::StatusOr<PageView> Get(const ChildRef& ref) const override {
    return PageView::Trust(bytes_.get() + ref.page * kPageBytes, ref);
  }
  absl::StatusOr<uint64_t> Allocate() override {
    if (free_.empty()) return next_++;
    const uint64_t page = free_.back();
    free_.pop_back();
    return page;
  }
  absl::Status Write(uint64_t page, absl::string_view bytes) override {
    std::memcpy(bytes_.get() + page * kPageBytes, bytes.data(), kPageBytes);
    return absl::OkStatus();
  }
  void Free(uint64_t page) override { free_.push_back(page); }

 private:
  const std::unique_ptr<char[]> bytes_;  // Untouched pages cost nothing.
  uint64_t next_ = 1;
  std::vector<uint64_t> free_;
};

std::string Key(uint64_t i) {
  return absl::StrFormat("namespace/object:%010d", i * 7);
}

// A tree of `count` keys that came in random order, in batches.
class Fixture {
 public:
  explicit Fixture(uint64_t count)
      : count_(count), pages_(count / 10 + 10'000), value_(kValueBytes, 'v') {
    std::vector<uint64_t> order(count);
    for (uint64_t i = 0; i < count; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random_);
    for (uint64_t begin = 0; begin < count; begin += kBatchOps) {
      const uint64_t end = std::min<uint64_t>(count, begin + kBatchOps);
      std::vector<std::string> keys;
      for (uint64_t i = begin; i < end; ++i) keys.push_back(Key(order[i]));
      Put(std::move(keys));
    }
  }

  void Put(std::vector<std::string> keys) {
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    std::vector<TreeOp> ops;
    for (const std::string& key : keys) ops.push_back({key, value_});
    const auto put = [](size_t, std::optional<absl::string_view>) {
      return Resolution::kPut;
    };
    const auto root = ApplyBatch(&pages_, &pages_, root_, ++epoch_, ops, put);
    LARDER_CHECK(root.ok());
    root_ = *root;
  }

  std::vector<std::string> RandomKeys(size_t keys) {
    std::vector<std::string> chosen;
    while (chosen.size() < keys) chosen.push_back(Key(random_() % count_));
    return chosen;
  }

  Tree tree() const { return Tree(&pages_, root_); }

 private:
  const uint64_t count_;
  std::mt19937_64 random_{1};
  FlatPages pages_;
  const std::string value_;
  ChildRef root_;
  uint64_t epoch_ = 0;
};

// Built once for each size.
Fixture* FixtureOf(const benchmark::State& state) {
  static auto& fixtures = *new std::map<uint64_t, std::unique_ptr<Fixture>>();
  auto& fixture = fixtures[state.range(0)];
  if (fixture == nullptr) fixture = std::make_unique<Fixture>(state.range(0));
  return fixture.get();
}

void Find(benchmark::State& state, bool present) {
  Fixture* fixture = FixtureOf(state);
  std::vector<std::string> keys = fixture->RandomKeys(20'000);
  for (std::string& key : keys) key.back() += present ? 0 : 10;
  size_t next = 0;
  for (auto _ : state) {
    const auto value = fixture->tree().Find(keys[next]);
    LARDER_CHECK(value.ok() && value->has_value() == present);
    if (present) benchmark::DoNotOptimize((**value)[0]);
    if (++next == keys.size()) next = 0;
  }
}

void BM_FindPresent(benchmark::State& state) { Find(state, true); }
void BM_FindAbsent(benchmark::State& state) { Find(state, false); }

void BM_WalkPerEntry(benchmark::State& state) {
  Fixture* fixture = FixtureOf(state);
  while (state.KeepRunningBatch(state.range(0))) {
    size_t bytes = 0;
    const absl::Status status = fixture->tree().Walk(
        "", [&](absl::string_view key, absl::string_view value) {
          bytes += key.size() + value.size();
          return true;
        });
    LARDER_CHECK(status.ok());
    benchmark::DoNotOptimize(bytes);
  }
}

void Merge(benchmark::State& state, size_t ops) {
  Fixture* fixture = FixtureOf(state);
  while (state.KeepRunningBatch(ops)) fixture->Put(fixture->RandomKeys(ops));
}

void BM_MergeOneOp(benchmark::State& state) { Merge(state, 1); }
void BM_MergePerOp(benchmark::State& state) { Merge(state, kBatchOps); }

BENCHMARK(BM_FindPresent)->Arg(2000)->Arg(200'000)->Arg(1'000'000);
BENCHMARK(BM_FindAbsent)->Arg(2000)->Arg(200'000)->Arg(1'000'000);
BENCHMARK(BM_WalkPerEntry)->Arg(2000)->Arg(1'000'000);
BENCHMARK(BM_MergeOneOp)->Arg(2000)->Arg(1'000'000);
BENCHMARK(BM_MergePerOp)->Arg(2000)->Arg(1'000'000);

void BM_VerifyLeaf(benchmark::State& state) {
  PageBuilder builder(0);
  const std::string value(kValueBytes, 'v');
  for (int i = 0; builder.Fits(Key(i), kValueBytes); ++i) {
    builder.AddValue(Key(i), value);
  }
  const ChildRef ref = builder.Finish(1, 1);
  for (auto _ : state) {
    LARDER_CHECK(PageView::Verify(builder.bytes().data(), ref).ok());
  }
}
BENCHMARK(BM_VerifyLeaf);

}  // namespace
}  // namespace larder::cache::l2
