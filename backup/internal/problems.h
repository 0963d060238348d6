// What of a source could not be taken.
#ifndef LARDER_BACKUP_INTERNAL_PROBLEMS_H_
#define LARDER_BACKUP_INTERNAL_PROBLEMS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"

namespace larder::backup_internal {

// Counts `problem`, and lists it while there is room.
inline void AddProblem(absl::string_view problem,
                       backup::format::SourceTotals* totals) {
  totals->set_problems_count(totals->problems_count() + 1);
  if (totals->problems_size() < backup::format::kProblemsListedMax) {
    totals->add_problems(std::string(problem.substr(
        0, static_cast<size_t>(backup::format::kProblemBytesMax))));
  }
}

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PROBLEMS_H_
