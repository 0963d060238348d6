// The items of a command that did not work while the rest did.
#ifndef LARDER_TOOLS_CLI_FAILURES_H_
#define LARDER_TOOLS_CLI_FAILURES_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "tools/cli/json_writer.h"

namespace larder::cli {

// Counts all, keeps the first kKept for --json. Single-owner.
class Failures {
 public:
  static constexpr int64_t kKept = 1000;

  void Add(absl::string_view item, absl::string_view reason);
  // Counts more that nobody can list.
  void AddUnlisted(int64_t count) { count_ += count; }
  int64_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Adds "failed" (the count) and, unless empty, "failures" (item and reason
  // of each that was kept).
  void AddTo(JsonObject* object) const;

 private:
  int64_t count_ = 0;
  JsonArray kept_;
};

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_FAILURES_H_
