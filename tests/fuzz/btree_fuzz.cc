// A tree of forged pages: each page is sound by itself, and what a parent says
// of number, epoch and checksum fits. Walks end, visit no page twice and report
// damage; what a walk finds, a lookup finds; a merge into an undamaged tree
// gives what a map gives, and into a damaged one a status.
//
// Input: u8 count, so many packed pages (numbered from 1; the last is the
// root), then the batch: u8 what to do, u8 size, key, u8 size, value.
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/btree.h"
#include "cache/l2/coding.h"
#include "cache/l2/page.h"
#include "tests/fuzz/forged_page.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

constexpr size_t kPagesMax = 64;
constexpr uint64_t kFirstNewPage = 1000;
constexpr size_t kOpsMax = 64;
constexpr size_t kLookupsMax = 64;

// The forged pages, and those that a merge writes.
class Pages : public PageSource, public PageSink {
 public:
  explicit Pages(std::vector<std::vector<char>> forged)
      : forged_(std::move(forged)) {}

  absl::StatusOr<PageView> Get(const ChildRef& ref) const override {
    const auto written = written_.find(ref.page);
    if (written != written_.end()) {
      return PageView::Verify(written->second.data(), ref);
    }
    if (ref.page == 0 || ref.page > forged_.size()) {
      return absl::DataLossError("no such page");
    }
    auto [copy, is_new] = copies_.try_emplace({ref.page, ref.epoch});
    if (is_new) {
      copy->second = forged_[ref.page - 1];
      tests::MendPage(ref.page, ref.epoch, &copy->second);
    }
    ChildRef forged = ref;
    forged.checksum = LoadFixed64(copy->second.data());
    return PageView::Verify(copy->second.data(), forged);
  }

  absl::StatusOr<uint64_t> Allocate() override {
    return kFirstNewPage + allocated_++;
  }
  absl::Status Write(uint64_t page, absl::string_view bytes) override {
    LARDER_CHECK(page >= kFirstNewPage && page < kFirstNewPage + allocated_);
    LARDER_CHECK(bytes.size() == kPageBytes);
    const auto [at, is_new] = written_.try_emplace(page);
    LARDER_CHECK(is_new);
    at->second.assign(bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  void Free(uint64_t page) override {
    LARDER_CHECK(freed_.insert(page).second);
  }

  ChildRef Root() const {
    ChildRef root = tests::RefOf(forged_.back());
    root.page = forged_.size();
    return root;
  }

 private:
  const std::vector<std::vector<char>> forged_;
  mutable std::map<std::pair<uint64_t, uint64_t>, std::vector<char>> copies_;
  std::map<uint64_t, std::vector<char>> written_;
  uint64_t allocated_ = 0;
  std::set<uint64_t> freed_;
};

using Entries = std::map<std::string, std::string>;

// All entries, when no page is damaged.
std::optional<Entries> Walk(const Tree& tree) {
  Entries entries;
  std::string last;
  bool damaged = false;
  const auto on_damage = [&](const Tree::Damage& damage) {
    LARDER_CHECK(absl::IsDataLoss(damage.status));
    LARDER_CHECK(damage.high.empty() || damage.low < damage.high);
    damaged = true;
  };
  const absl::Status walked = tree.WalkDespiteDamage(
      "",
      [&](absl::string_view key, absl::string_view value) {
        LARDER_CHECK(entries.empty() || last < key);
        last = std::string(key);
        entries.emplace(last, std::string(value));
        return true;
      },
      on_damage);
  LARDER_CHECK(walked.ok());
  std::set<uint64_t> visited;
  const absl::Status pages = tree.VisitPages(
      [&](const Tree::PageInfo& info) {
        LARDER_CHECK(visited.insert(info.ref.page).second);
        LARDER_CHECK(info.level >= 0 && info.level <= kPageLevelMax);
        LARDER_CHECK(info.high.empty() || info.low < info.high);
      },
      on_damage);
  LARDER_CHECK(pages.ok());
  if (damaged) return std::nullopt;
  LARDER_CHECK(entries.size() == tree.root().entries);
  return entries;
}

void CheckLookups(const Tree& tree, const Entries& entries) {
  uint64_t rank = 0;
  for (const auto& [key, value] : entries) {
    if (rank == kLookupsMax) break;
    const auto found = tree.Find(key);
    LARDER_CHECK(found.ok() && *found == value);
    const auto rank_found = tree.Rank(key);
    LARDER_CHECK(rank_found.ok() && *rank_found == rank);
    ++rank;
  }
}

struct Op {
  Resolution resolution;
  std::string value;
};

std::map<std::string, Op> ReadOps(absl::string_view input) {
  ByteReader in(input);
  std::map<std::string, Op> ops;
  uint8_t what, key_bytes, value_bytes;
  absl::string_view key, value;
  while (ops.size() < kOpsMax && in.ReadByte(&what) &&
         in.ReadByte(&key_bytes) && in.ReadRaw(key_bytes, &key) &&
         in.ReadByte(&value_bytes) && in.ReadRaw(value_bytes, &value)) {
    // Long keys and values split pages sooner.
    const size_t times = 1 + what / 64;
    Op op = {static_cast<Resolution>(what % 3), ""};
    for (size_t i = 0; i < times; ++i) op.value += std::string(value);
    ops[std::string(key)] = op;
  }
  return ops;
}

void Apply(const std::map<std::string, Op>& ops, Entries* entries) {
  for (const auto& [key, op] : ops) {
    if (op.resolution == Resolution::kPut) (*entries)[key] = op.value;
    if (op.resolution == Resolution::kErase) entries->erase(key);
  }
}

absl::StatusOr<ChildRef> Merge(const ChildRef& root,
                               const std::map<std::string, Op>& ops,
                               const std::optional<Entries>& before,
                               Pages* pages) {
  std::vector<TreeOp> batch;
  std::vector<Resolution> resolutions;
  for (const auto& [key, op] : ops) {
    batch.push_back({key, op.value});
    resolutions.push_back(op.resolution);
  }
  const uint64_t epoch = std::min(root.epoch + 1, kTreeNumberMax);
  return ApplyBatch(
      pages, pages, root, epoch, batch,
      [&](size_t i, std::optional<absl::string_view> existing) {
        if (before.has_value()) {
          const auto at = before->find(std::string(batch[i].key));
          LARDER_CHECK(existing.has_value() == (at != before->end()));
          LARDER_CHECK(!existing.has_value() || *existing == at->second);
        }
        return resolutions[i];
      });
}

void Check(absl::string_view input) {
  if (input.empty()) return;
  const size_t count = 1 + static_cast<uint8_t>(input[0]) % kPagesMax;
  input.remove_prefix(1);
  std::vector<std::vector<char>> forged;
  while (forged.size() < count) forged.push_back(tests::UnpackPage(&input));
  Pages pages(std::move(forged));
  const ChildRef root = pages.Root();
  std::optional<Entries> entries = Walk(Tree(&pages, root));
  if (entries.has_value()) CheckLookups(Tree(&pages, root), *entries);
  if (root.epoch > kTreeNumberMax) return;  // No batch can follow it.
  const std::map<std::string, Op> ops = ReadOps(input);
  const absl::StatusOr<ChildRef> merged = Merge(root, ops, entries, &pages);
  if (absl::IsResourceExhausted(merged.status())) return;  // Too many levels.
  if (!entries.has_value()) {
    LARDER_CHECK(merged.ok() || absl::IsDataLoss(merged.status()));
    return;
  }
  // A merge checks its copies against the references, which a forged parent
  // has wrong: only trees of one page get past this.
  if (absl::IsDataLoss(merged.status())) return;
  LARDER_CHECK(merged.ok());
  Apply(ops, &*entries);
  const Tree tree(&pages, *merged);
  LARDER_CHECK(Walk(tree) == entries);
  CheckLookups(tree, *entries);
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::cache::l2::Check(larder::tests::Input(data, size));
  return 0;
}
