// The two macros that pass an absl::Status on to the caller.
#ifndef LARDER_CACHE_STATUS_MACROS_H_
#define LARDER_CACHE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the function when `expr` (an absl::Status) is not OK.
#define LARDER_RETURN_IF_ERROR(expr)                              \
  do {                                                            \
    if (absl::Status larder_status = (expr); !larder_status.ok()) \
      return larder_status;                                       \
  } while (false)

#define LARDER_MACRO_CONCAT_INNER(a, b) a##b
#define LARDER_MACRO_CONCAT(a, b) LARDER_MACRO_CONCAT_INNER(a, b)

// Moves the value of `expr` (an absl::StatusOr) into `lhs`, or returns its
// status.
#define LARDER_ASSIGN_OR_RETURN(lhs, expr)                                \
  auto LARDER_MACRO_CONCAT(larder_or_, __LINE__) = (expr);                \
  if (!LARDER_MACRO_CONCAT(larder_or_, __LINE__).ok())                    \
    return std::move(LARDER_MACRO_CONCAT(larder_or_, __LINE__)).status(); \
  lhs = *std::move(LARDER_MACRO_CONCAT(larder_or_, __LINE__))

#endif  // LARDER_CACHE_STATUS_MACROS_H_
