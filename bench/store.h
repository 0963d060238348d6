// A key-value store that the benchmarks measure: Larder, or a peer.
#ifndef LARDER_BENCH_STORE_H_
#define LARDER_BENCH_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::bench {

// Single-owner, unless an implementation says that it is thread-safe.
class Store {
 public:
  using Use = absl::FunctionRef<void(absl::string_view)>;

  virtual ~Store() = default;

  // Lower case, as rows of the report name it.
  virtual std::string name() const = 0;

  virtual absl::Status Put(absl::string_view key, absl::string_view bytes) = 0;

  // Passes the value to `use`, which is called once, with views that are valid
  // during the call only. Copies out unless name() says that it does not.
  // Returns: whether there is such a key; false also after an error.
  virtual bool Get(absl::string_view key, Use use) = 0;

  // Ends a fill: what was put is where it stays, and nothing goes on behind
  // the measurement (memory tables are flushed, levels compacted).
  virtual absl::Status Settle() { return absl::OkStatus(); }
};

using Stores = std::vector<std::unique_ptr<Store>>;

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORE_H_
