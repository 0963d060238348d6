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

absl::StatusOr<uint64_t> RaiseTerm(FileSystem* file_system,
                                   const std::string& own, uint64_t term) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<TermStore> terms,
                          TermStore::Open(file_system, own));
  const uint64_t next = terms->highest() + 1;
  if (next > kTermMax) {
    return absl::FailedPreconditionError(absl::StrCat(
        "promote: the replica has seen the last term, ", terms->highest(),
        ": once no old primary is left, remove ", own, "/term"));
  }
  if (term != 0 && term < next) {
    return absl::InvalidArgumentError(
        absl::StrCat("promote: term ", term, " vs at least ", next,
                     ": the replica has seen ", terms->highest()));
  }
  const uint64_t raised = std::max(term, next);
  LARDER_RETURN_IF_ERROR(terms->Admit(raised));
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
      promotion.term,
      RaiseTerm(options.file_system, KeptDumps::OwnDirectory(state), term));
  LARDER_ASSIGN_OR_RETURN(promotion.info, live->Promote());
  return promotion;
}

absl::StatusOr<uint64_t> PrimaryTerm(FileSystem* file_system,
                                     const std::string& l2_path) {
  const std::string own =
      KeptDumps::OwnDirectory(LiveL2::StateDirectory(WithoutSlashes(l2_path)));
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<TermStore> terms,
                          TermStore::Open(file_system, own));
  return std::max<uint64_t>(terms->highest(), 1);
}

}  // namespace larder::replication
