// How a backup, a restore or a verification ended.
#ifndef LARDER_BACKUP_OUTCOME_H_
#define LARDER_BACKUP_OUTCOME_H_

#include <cstdint>

namespace larder::backup {

// kOk: complete. kPartial: done, but something is missing, and the report says
// what. kFailed: nothing was changed; the report's status says why.
enum class Outcome : uint8_t { kOk, kPartial, kFailed };

}  // namespace larder::backup

#endif  // LARDER_BACKUP_OUTCOME_H_
