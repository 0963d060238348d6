// Traces of requests: which key was asked for, and how large its blob is.
#ifndef LARDER_BENCH_TRACE_H_
#define LARDER_BENCH_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::bench {

struct Request {
  int64_t key = 0;  // Keys are numbered in the order of their first requests.
  int64_t bytes = 0;
};

// A plain value.
struct Trace {
  std::string name;
  std::vector<Request> requests;
  int64_t keys = 0;
};

// Reads `text`: one request a line, "key size", the size above 0.
// Errors: kDataLoss naming the line.
absl::StatusOr<Trace> ParseTrace(absl::string_view name,
                                 absl::string_view text);

// The same, of DIR/NAME.txt.zst.
// Errors: kNotFound naming the file; kDataLoss.
absl::StatusOr<Trace> ReadTrace(const std::string& dir, absl::string_view name);

// Bytes of all distinct keys, each at the size of its first request.
int64_t FootprintBytes(const Trace& trace);

// The first `count` requests, or all.
Trace FirstRequests(const Trace& trace, int64_t count);

// All sizes `factor` times as large, rounded, at least 1.
Trace WithSizesTimes(const Trace& trace, double factor);

}  // namespace larder::bench

#endif  // LARDER_BENCH_TRACE_H_
