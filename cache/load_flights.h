// Loads under way: one caller a key loads, the rest wait for its result.
#ifndef LARDER_CACHE_LOAD_FLIGHTS_H_
#define LARDER_CACHE_LOAD_FLIGHTS_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/mutex.h"

namespace larder::cache {

// Thread-safe. Runs no caller's code.
class LoadFlights {
 public:
  using Result = absl::StatusOr<std::shared_ptr<const Blob>>;

  class Flight {
   public:
    // Whether the key was changed since the flight began: what was loaded may
    // be older than that change and must not replace it.
    bool superseded() const { return superseded_.load(); }

   private:
    friend class LoadFlights;
    std::atomic<bool> superseded_{false};
    uint64_t invalidations_ = 0;
    std::optional<Result> result_;  // Guarded by LoadFlights::mu_.
  };

  // Starts a flight (returns it, `*leader` true) or joins one that began at
  // the same count of invalidations of the namespace: what an older one loads
  // may be what was invalidated since.
  std::shared_ptr<Flight> Join(absl::string_view ns, absl::string_view key,
                               uint64_t invalidations, bool* leader)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The leader ends its flight.
  void Land(absl::string_view ns, absl::string_view key,
            const std::shared_ptr<Flight>& flight, Result result)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The others wait.
  Result Wait(const std::shared_ptr<Flight>& flight) ABSL_LOCKS_EXCLUDED(mu_);

  // The key is changed now: nobody joins its flight any more. One atomic load
  // when nothing is loading.
  void Supersede(absl::string_view ns, absl::string_view key)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Name = std::pair<std::string, std::string>;
  std::atomic<int64_t> flying_{0};  // Those in `flights_`.
  Mutex mu_;
  std::condition_variable_any landed_;
  absl::flat_hash_map<Name, std::shared_ptr<Flight>> flights_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_LOAD_FLIGHTS_H_
