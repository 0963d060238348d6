// What a run of the benchmarks was asked for, and where it may write.
#ifndef LARDER_BENCH_SETTING_H_
#define LARDER_BENCH_SETTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::bench {

// A plain value.
struct Setting {
  std::string dir;   // Exists.
  double scale = 1;  // Of the full counts of keys; the bars speak of 1.
  int rounds = 5;
  // Names of stores to run beside Larder; empty: all. What a bar asks of one
  // that did not run does not hold.
  std::vector<std::string> peers;
  std::string traces;  // The directory that holds them.

  // `full` at this scale, at least `least`.
  int64_t Scaled(int64_t full, int64_t least) const;
  // Whether a store of this name takes part.
  bool Runs(absl::string_view store) const;
};

// A directory that is deleted, with all in it, when this object is.
class Scratch {
 public:
  // Creates `setting.dir`/`name`, anew when it is there.
  static absl::StatusOr<Scratch> Make(const Setting& setting,
                                      absl::string_view name);
  Scratch(Scratch&& other) noexcept;
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch();

  const std::string& path() const { return path_; }
  std::string Sub(absl::string_view name) const;

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// Bytes that the files of `dir` take on disk: without holes, and without what
// the file system takes for itself to find them.
int64_t DiskBytes(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_SETTING_H_
