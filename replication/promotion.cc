#include "replication/promotion.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/path.h"
#include "cache/status_macros.h"
#include "replication/kept_dumps.h"
#include "replication/limits.h"
#include "replication/live_l2.h"
#include "replication/term_store.h"

namespace larder::replication {
namespace {

using backup::WithoutSlashes;
using cache::l2::FileSystem;

// The replica's, and those of the L2 itself, which go where it goes.
struct Terms {
  std::unique_ptr<TermStore> replica;
  std::unique_ptr<TermStore> l2;

  uint64_t highest() const {
    return std::max(replica->highest(), l2->highest());
  }
};

absl::StatusOr<Terms> OpenTerms(FileSystem* file_system,
                                const std::string& l2_path) {
  Terms terms;
  LARDER_ASSIGN_OR_RETURN(
      terms.replica,
      TermStore::Open(file_system, KeptDumps::OwnDirectory(
                                       LiveL2::StateDirectory(l2_path))));
  LARDER_ASSIGN_OR_RETURN(terms.l2, TermStore::Open(file_system, l2_path));
  return terms;
}

absl::StatusOr<uint64_t> RaiseTerm(FileSystem* file_system,
                                   const std::string& l2_path, uint64_t term) {
  LARDER_ASSIGN_OR_RETURN(const Terms terms, OpenTerms(file_system, l2_path));
  const uint64_t next = terms.highest() + 1;
  if (next > kTermMax) {
    return absl::FailedPreconditionError(
        absl::StrCat("promote: the replica has seen the last term, ",
                     terms.highest(), ": once no old primary is left, remove ",
                     KeptDumps::OwnDirectory(LiveL2::StateDirectory(l2_path)),
                     "/term and ", l2_path, "/term"));
  }
  if (term != 0 && term < next) {
    return absl::InvalidArgumentError(
        absl::StrCat("promote: term ", term, " vs at least ", next,
                     ": the replica has seen ", terms.highest()));
  }
  const uint64_t raised = std::max(term, next);
  // First: it refuses the old primary from then on.
  LARDER_RETURN_IF_ERROR(terms.replica->Admit(raised));
  LARDER_RETURN_IF_ERROR(terms.l2->Admit(raised));
  return raised;
}

}  // namespace

absl::StatusOr<Promotion> Promote(const cache::BlobCacheOptions& given,
                                  uint64_t term) {
  cache::BlobCacheOptions options = given;
  if (options.file_system == nullptr) {
    options.file_system = cache::l2::PosixFileSystem();
  }
  options.l2_path = WithoutSlashes(options.l2_path);
  const std::string state = LiveL2::StateDirectory(options.l2_path);
  if (!options.file_system->Exists(state)) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.l2_path, ": no live replica: ", state, " does not exist"));
  }
  absl::StatusOr<std::unique_ptr<LiveL2>> opened =
      LiveL2::Open({.cache = options, .delta_limits = {}});
  if (absl::IsUnavailable(opened.status())) {
    return absl::UnavailableError(absl::StrCat(
        opened.status().message(), ": stop it before it is promoted"));
  }
  LARDER_RETURN_IF_ERROR(opened.status());
  const std::unique_ptr<LiveL2> live = *std::move(opened);
  LARDER_ASSIGN_OR_RETURN(const std::optional<PublishedDump> applied,
                          live->Applied());
  if (!applied.has_value()) return live->Promote().status();
  const backup::format::CacheInfo& followed =
      applied->header.sources(0).cache();
  Promotion promotion;
  promotion.snapshot_id = applied->header.snapshot_id();
  promotion.old_lineage = followed.lineage();
  promotion.old_epoch = followed.epoch();
  LARDER_ASSIGN_OR_RETURN(
      promotion.term, RaiseTerm(options.file_system, options.l2_path, term));
  LARDER_ASSIGN_OR_RETURN(promotion.info, live->Promote());
  return promotion;
}

absl::StatusOr<uint64_t> PrimaryTerm(FileSystem* file_system,
                                     const std::string& l2_path) {
  LARDER_ASSIGN_OR_RETURN(const Terms terms,
                          OpenTerms(file_system, WithoutSlashes(l2_path)));
  return std::max<uint64_t>(terms.highest(), 1);
}

}  // namespace larder::replication
