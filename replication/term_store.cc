#include "replication/term_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/coding.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"
#include "replication/limits.h"

namespace larder::replication {
namespace {

using cache::ReaderLock;
using cache::WriterLock;

constexpr absl::string_view kTermName = "term";

}  // namespace

absl::StatusOr<std::unique_ptr<TermStore>> TermStore::Open(
    cache::l2::FileSystem* file_system, std::string directory) {
  uint64_t highest = 0;
  const absl::StatusOr<std::string> bytes =
      backup::ReadSmallFile(file_system, directory, kTermName);
  if (bytes.ok()) {
    if (bytes->size() != sizeof highest) {
      return absl::DataLossError(absl::StrCat(directory, "/", kTermName, ": ",
                                              bytes->size(), " bytes vs ",
                                              sizeof highest));
    }
    highest = backup::format::LoadFixed<uint64_t>(bytes->data());
    if (highest > kTermMax) {
      return absl::DataLossError(absl::StrCat(directory, "/", kTermName, ": ",
                                              highest, " exceeds ", kTermMax));
    }
  } else if (!absl::IsNotFound(bytes.status())) {
    return bytes.status();
  }
  return std::unique_ptr<TermStore>(
      new TermStore(file_system, std::move(directory), highest));
}

uint64_t TermStore::highest() const {
  ReaderLock lock(&mu_);
  return highest_;
}

absl::Status TermStore::CheckLocked(uint64_t term) const {
  if (term == 0 || term > kTermMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("term: ", term, " vs 1 to ", kTermMax));
  }
  if (term >= highest_) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "fenced: term ", term, " vs ", highest_,
      " that the replica has seen: another primary was promoted; stop this "
      "one, and let it follow the new one (`larder replica --l2`, with a new "
      "directory); or, if it is meant to be the primary, give it a higher term "
      "than ",
      highest_));
}

absl::Status TermStore::Check(uint64_t term) const {
  ReaderLock lock(&mu_);
  return CheckLocked(term);
}

absl::Status TermStore::RunUnfenced(
    uint64_t term, absl::FunctionRef<absl::Status()> step) const {
  ReaderLock lock(&mu_);
  LARDER_RETURN_IF_ERROR(CheckLocked(term));
  return step();
}

absl::Status TermStore::Admit(uint64_t term) {
  {
    ReaderLock lock(&mu_);
    LARDER_RETURN_IF_ERROR(CheckLocked(term));
    if (term == highest_) return absl::OkStatus();
  }
  WriterLock lock(&mu_);
  LARDER_RETURN_IF_ERROR(CheckLocked(term));
  if (term == highest_) return absl::OkStatus();
  std::string bytes;
  backup::format::AppendFixed<uint64_t>(term, &bytes);
  LARDER_RETURN_IF_ERROR(
      backup::WriteSmallFile(file_system_, directory_, kTermName, bytes));
  highest_ = term;
  return absl::OkStatus();
}

}  // namespace larder::replication
