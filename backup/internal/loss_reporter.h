// Gathers losses for a report.
#ifndef LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_
#define LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "backup/loss.h"

namespace larder::backup_internal {

// Single-owner.
class LossReporter {
 public:
  // `on_loss` may be empty. Borrows `tally`.
  LossReporter(backup::LossTally* tally, int64_t listed_max,
               std::function<void(const backup::Loss&)> on_loss)
      : tally_(tally), listed_max_(listed_max), on_loss_(std::move(on_loss)) {}

  void Add(backup::Loss loss) {
    using Kind = backup::Loss::Kind;
    const bool blob =
        loss.kind == Kind::kBlob || loss.kind == Kind::kUnnamedBlobs;
    (blob ? tally_->blobs : tally_->files) += loss.count;
    if (on_loss_) on_loss_(loss);
    if (static_cast<int64_t>(tally_->listed.size()) < listed_max_) {
      tally_->listed.push_back(std::move(loss));
    }
  }

 private:
  backup::LossTally* const tally_;
  const int64_t listed_max_;
  const std::function<void(const backup::Loss&)> on_loss_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_
