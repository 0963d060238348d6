// Times, medians and quantiles.
#ifndef LARDER_BENCH_MEASURE_H_
#define LARDER_BENCH_MEASURE_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::bench {

class Stopwatch {
 public:
  double nanos() const {
    return std::chrono::duration<double, std::nano>(Clock::now() - start_)
        .count();
  }
  double micros() const { return nanos() / 1e3; }
  double millis() const { return nanos() / 1e6; }
  double seconds() const { return nanos() / 1e9; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// NaN when there are none.
double Median(std::vector<double> values);
// The value below which a share of `values` lies; NaN when there are none.
// Requires: 0 < share <= 1.
double Quantile(std::vector<double> values, double share);

// Bytes that this process, or another one, has which no file backs; 0 when the
// system does not say.
int64_t AnonymousBytes();
int64_t AnonymousBytesOf(pid_t pid);

// Bytes that this process read by system calls; 0 when the system does not say.
int64_t BytesRead();

// CPU time of this process, in nanoseconds.
double CpuNanos();

// What each store took in each round. Thread-compatible.
class Samples {
 public:
  void Add(absl::string_view name, double value);
  // NaN for a name that was never added.
  double Median(absl::string_view name) const;
  // The medians of all but `name`, in the order of their first values.
  std::vector<std::pair<std::string, double>> Others(
      absl::string_view name) const;

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::vector<double>> values_;
};

}  // namespace larder::bench

#endif  // LARDER_BENCH_MEASURE_H_
