#include "tests/model/operation.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace larder::tests {
namespace {

using Kind = Operation::Kind;

constexpr std::pair<Kind, const char*> kKinds[] = {
    {Kind::kPut, "put"},
    {Kind::kCompareAndSet, "compare-and-set"},
    {Kind::kGet, "get"},
    {Kind::kExists, "exists"},
    {Kind::kLoad, "load"},
    {Kind::kDelete, "delete"},
    {Kind::kPrefix, "invalidate-prefix"},
    {Kind::kTag, "invalidate-tag"},
    {Kind::kDependency, "invalidate-dependency"},
    {Kind::kFlush, "flush-namespace"},
    {Kind::kSweepL1, "sweep-l1"},
    {Kind::kSweepDue, "sweep-due"},
    {Kind::kSweepTombstoned, "sweep-tombstoned"},
    {Kind::kReclaim, "reclaim-orphans"},
    {Kind::kCommit, "commit"},
    {Kind::kAdvance, "advance-clock"},
    {Kind::kSnapshot, "snapshot"},
    {Kind::kEndSnapshot, "end-snapshot"},
    {Kind::kHold, "hold-hit"},
    {Kind::kLetGo, "let-go"},
    {Kind::kCrash, "crash"},
    {Kind::kReopen, "reopen"},
    {Kind::kBackup, "backup"},
    {Kind::kRestore, "restore"},
};

constexpr std::pair<const char*, uint64_t Operation::*> kFields[] = {
    {"ns", &Operation::ns},
    {"name", &Operation::name},
    {"content", &Operation::content},
    {"expires_in", &Operation::expires_in},
    {"idle_ms", &Operation::idle_ms},
    {"stale_ms", &Operation::stale_ms},
    {"version", &Operation::version},
    {"l1_admission", &Operation::l1_admission},
    {"tag", &Operation::tag},
    {"dependency", &Operation::dependency},
    {"metadata", &Operation::metadata},
    {"expected", &Operation::expected},
    {"inside", &Operation::inside},
    {"inside_sweep", &Operation::inside_sweep},
    {"offset", &Operation::offset},
    {"length", &Operation::length},
    {"limit", &Operation::limit},
    {"ms", &Operation::ms},
    {"which", &Operation::which},
    {"dies", &Operation::dies},
    {"at_archive", &Operation::at_archive},
    {"power", &Operation::power},
    {"seed", &Operation::seed},
    {"deaths", &Operation::deaths},
    {"durability", &Operation::durability},
    {"shape", &Operation::shape},
    {"aside", &Operation::aside},
};

}  // namespace

std::string FormatOperation(const Operation& operation) {
  std::string line;
  for (const auto& [kind, name] : kKinds) {
    if (kind == operation.kind) line = name;
  }
  for (const auto& [name, field] : kFields) {
    if (operation.*field != 0) {
      absl::StrAppend(&line, " ", name, "=", operation.*field);
    }
  }
  return line;
}

absl::StatusOr<Operation> ParseOperation(absl::string_view line) {
  const std::vector<std::string> words =
      absl::StrSplit(line, ' ', absl::SkipEmpty());
  const auto kind = std::find_if(
      std::begin(kKinds), std::end(kKinds),
      [&](const auto& k) { return !words.empty() && words[0] == k.second; });
  if (kind == std::end(kKinds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", line, "': names no operation"));
  }
  Operation operation;
  operation.kind = kind->first;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    const auto field =
        std::find_if(std::begin(kFields), std::end(kFields),
                     [&](const auto& f) { return parts.first == f.first; });
    if (field == std::end(kFields) ||
        !absl::SimpleAtoi(parts.second, &(operation.*field->second))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", line, "': '", words[i], "' is no field with its number"));
    }
  }
  return operation;
}

std::vector<uint64_t Operation::*> FieldsInUse(const Operation& operation) {
  std::vector<uint64_t Operation::*> fields;
  for (const auto& [name, field] : kFields) {
    if (operation.*field != 0) fields.push_back(field);
  }
  return fields;
}

}  // namespace larder::tests
