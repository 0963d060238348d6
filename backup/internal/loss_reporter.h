// Gathers losses for a report.
#ifndef LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_
#define LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "backup/loss.h"

namespace larder::backup_internal {

// What the base of a delta lost may be no loss once the delta is there, and one
// blob may be lost twice: then blobs wait, by name, until Settle().
// Single-owner.
class LossReporter {
 public:
  // `on_loss` may be empty. Borrows `tally`.
  LossReporter(backup::LossTally* tally, int64_t listed_max,
               std::function<void(const backup::Loss&)> on_loss)
      : tally_(tally), listed_max_(listed_max), on_loss_(std::move(on_loss)) {}

  // From here on blobs wait: up to `listed_max` of them, for bounded memory.
  void WaitForDeltas() { waits_ = true; }

  void Add(backup::Loss loss) {
    if (waits_ && loss.kind == backup::Loss::Kind::kBlob &&
        static_cast<int64_t>(waiting_.size()) < listed_max_) {
      waiting_.insert_or_assign({loss.ns, loss.name}, std::move(loss));
      return;
    }
    Report(std::move(loss));
  }

  void AddBlob(absl::string_view source, absl::string_view ns,
               absl::string_view key, absl::string_view reason) {
    Add({.kind = backup::Loss::Kind::kBlob,
         .source = std::string(source),
         .ns = std::string(ns),
         .name = std::string(key),
         .count = 1,
         .reason = std::string(reason)});
  }

  // A delta has the blob, or tells that nothing in [from, until) is missing
  // (`until` empty: to the end of the namespace).
  void Forget(const std::string& ns, const std::string& key) {
    waiting_.erase({ns, key});
  }
  void ForgetRange(const std::string& ns, const std::string& from,
                   const std::string& until) {
    auto it = waiting_.lower_bound({ns, from});
    while (it != waiting_.end() && it->first.first == ns &&
           (until.empty() || it->first.second < until)) {
      it = waiting_.erase(it);
    }
  }

  // Reports what waits.
  void Settle() {
    for (auto& [name, loss] : std::exchange(waiting_, {})) {
      Report(std::move(loss));
    }
  }

 private:
  void Report(backup::Loss loss) {
    using Kind = backup::Loss::Kind;
    const bool blob =
        loss.kind == Kind::kBlob || loss.kind == Kind::kUnnamedBlobs;
    (blob ? tally_->blobs : tally_->files) += loss.count;
    if (on_loss_) on_loss_(loss);
    if (static_cast<int64_t>(tally_->listed.size()) < listed_max_) {
      tally_->listed.push_back(std::move(loss));
    }
  }

  backup::LossTally* const tally_;
  const int64_t listed_max_;
  const std::function<void(const backup::Loss&)> on_loss_;
  bool waits_ = false;
  // By namespace and key.
  std::map<std::pair<std::string, std::string>, backup::Loss> waiting_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LOSS_REPORTER_H_
