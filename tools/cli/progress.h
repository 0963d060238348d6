// One line that shows how far a long step is: bytes, rate, time left.
#ifndef LARDER_TOOLS_CLI_PROGRESS_H_
#define LARDER_TOOLS_CLI_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "cache/clock.h"
#include "cache/mutex.h"

namespace larder::cli {

// Thread-safe. Borrows `clock`. Draws at most ten times a second, and nothing
// at all unless `enabled`.
class Progress {
 public:
  struct Options {
    std::string label;        // "import"
    int64_t bytes_total = 0;  // 0: not known; then no percentage, no time left.
    bool enabled = false;
    int columns = 80;
  };
  // Receives the characters to write, control characters included.
  using Write = std::function<void(absl::string_view)>;

  Progress(Options options, const cache::Clock* clock, Write write);
  ~Progress();  // Clears the line.
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `bytes` more are done.
  void Add(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // `bytes_done` of `bytes_total` are done, for who counts itself.
  void Set(int64_t bytes_done, int64_t bytes_total) ABSL_LOCKS_EXCLUDED(mu_);
  // Clears the line, so that other text can be written; it comes back with
  // the next change.
  void Clear() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void MaybeDraw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Line(int64_t elapsed_nanos) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const cache::Clock* const clock_;
  const Write write_;
  const int64_t start_nanos_;
  cache::Mutex mu_;
  int64_t bytes_done_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_total_ ABSL_GUARDED_BY(mu_);
  int64_t drawn_nanos_ ABSL_GUARDED_BY(mu_);
  bool visible_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_PROGRESS_H_
