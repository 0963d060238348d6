// CHECK for our own bugs: prints the condition and aborts, in every build mode.
//
// Never for what the outside world can cause (bytes on disk, arguments, full
// disks): those are absl::Status. The Abseil release that Larder builds with
// has no absl::log, hence this one macro.
#ifndef LARDER_CACHE_CHECK_H_
#define LARDER_CACHE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#include "absl/base/optimization.h"

#define LARDER_CHECK(condition)                                             \
  do {                                                                      \
    if (ABSL_PREDICT_FALSE(!(condition))) {                                 \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)

#endif  // LARDER_CACHE_CHECK_H_
