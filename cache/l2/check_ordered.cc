#include "cache/l2/check_ordered.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Pages that are damaged were reported by who read all of them.
void Ignore(const Tree::Damage&) {}

absl::Status Walk(const Tree& tree, Tree::VisitFn visit,
                  absl::FunctionRef<bool()> cancelled) {
  bool stopped = false;
  LARDER_RETURN_IF_ERROR(tree.WalkDespiteDamage(
      "",
      [&](absl::string_view key, absl::string_view value) {
        stopped = cancelled();
        return !stopped && visit(key, value);
      },
      Ignore));
  return stopped ? absl::CancelledError("stopped on request")
                 : absl::OkStatus();
}

// What is wrong with an entry of the record whose stored value is `record`;
// nothing when it is right, or when that does not tell.
std::string Judge(OrderedKind kind, absl::string_view key,
                  absl::string_view value, absl::string_view record_key,
                  absl::string_view stored) {
  const absl::StatusOr<Record> record = DecodeRecord(stored);
  if (!record.ok()) return "";  // That is reported of the record.
  const auto wanted = OrderedEntryOf(kind, record_key, *record);
  if (!wanted.has_value()) return "entry of a record that is never due";
  if (wanted->key != key) {
    uint64_t found_at, wanted_at;
    absl::string_view ignored;
    SplitOrderedKey(key, &found_at, &ignored);
    SplitOrderedKey(wanted->key, &wanted_at, &ignored);
    return absl::StrCat("entry: at ", found_at, " vs expected ", wanted_at);
  }
  return wanted->value == value ? "" : "entry: of another put of the key";
}

}  // namespace

void OrderedCheck::Add(absl::string_view record_key, const Record& record) {
  wanted_ += OrderedRecordHash(kind_, record_key, record);
}

absl::Status OrderedCheck::Run(WrongFn wrong,
                               absl::FunctionRef<bool()> cancelled) const {
  absl::uint128 held = 0;
  LARDER_RETURN_IF_ERROR(Walk(
      tree_,
      [&](absl::string_view key, absl::string_view value) {
        held += OrderedEntryHash(key, value);
        return true;
      },
      cancelled));
  if (held == wanted_) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(FindSurplus(wrong, cancelled));
  return FindMissing(wrong, cancelled);
}

absl::Status OrderedCheck::FindSurplus(
    WrongFn wrong, absl::FunctionRef<bool()> cancelled) const {
  return Walk(
      tree_,
      [&](absl::string_view key, absl::string_view value) {
        uint64_t at;
        absl::string_view record_key;
        if (!SplitOrderedKey(key, &at, &record_key)) {
          wrong(key, "entry: impossible key");
          return true;
        }
        const auto stored = records_.Find(record_key);
        if (!stored.ok()) return true;
        std::string what =
            stored->has_value()
                ? Judge(kind_, key, value, record_key, **stored)
                : absl::StrCat("entry at ", at, ": there is no such record");
        if (!what.empty()) wrong(record_key, std::move(what));
        return true;
      },
      cancelled);
}

absl::Status OrderedCheck::FindMissing(
    WrongFn wrong, absl::FunctionRef<bool()> cancelled) const {
  return Walk(
      records_,
      [&](absl::string_view record_key, absl::string_view value) {
        const absl::StatusOr<Record> record = DecodeRecord(value);
        if (!record.ok()) return true;
        const auto wanted = OrderedEntryOf(kind_, record_key, *record);
        if (!wanted.has_value()) return true;
        const auto held = tree_.Find(wanted->key);
        if (held.ok() && !held->has_value()) {
          wrong(record_key, "entry: missing");
        }
        return true;
      },
      cancelled);
}

}  // namespace larder::cache::l2
