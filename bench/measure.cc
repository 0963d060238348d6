#include "bench/measure.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace larder::bench {

double Median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  if (values.size() % 2 == 1) return values[half];
  return (values[half - 1] + values[half]) / 2;
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto rank = static_cast<size_t>(
      std::ceil(share * static_cast<double>(values.size())));
  const size_t i = std::min(values.size() - 1, rank - 1);
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(i),
                   values.end());
  return values[i];
}

namespace {

// The number behind `name` in a file of such pairs; 0: it has none.
int64_t NumberIn(const char* path, absl::string_view name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t number;
    if (word == name && file >> number) return number;
  }
  return 0;
}

}  // namespace

int64_t AnonymousBytes() { return AnonymousBytesOf(getpid()); }

int64_t AnonymousBytesOf(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/status");
  return NumberIn(path.c_str(), "RssAnon:") * 1024;
}

int64_t BytesRead() { return NumberIn("/proc/self/io", "rchar:"); }

double CpuNanos() {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto nanos = [](const struct timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e9 +
           static_cast<double>(t.tv_usec) * 1e3;
  };
  return nanos(usage.ru_utime) + nanos(usage.ru_stime);
}

void Samples::Add(absl::string_view name, double value) {
  std::vector<double>& values = values_[std::string(name)];
  if (values.empty()) names_.emplace_back(name);
  values.push_back(value);
}

double Samples::Median(absl::string_view name) const {
  const auto it = values_.find(std::string(name));
  return bench::Median(it == values_.end() ? std::vector<double>()
                                           : it->second);
}

std::vector<std::pair<std::string, double>> Samples::Others(
    absl::string_view name) const {
  std::vector<std::pair<std::string, double>> others;
  for (const std::string& other : names_) {
    if (other != name) others.emplace_back(other, Median(other));
  }
  return others;
}

}  // namespace larder::bench
