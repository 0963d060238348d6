#include "cache/load_flights.h"

namespace larder::cache {

std::shared_ptr<LoadFlights::Flight> LoadFlights::Join(absl::string_view ns,
                                                       absl::string_view key,
                                                       uint64_t invalidations,
                                                       bool* leader) {
  MutexLock lock(&mu_);
  auto [it, added] =
      flights_.try_emplace(Name(std::string(ns), std::string(key)));
  if (added) flying_.fetch_add(1);
  *leader = added || it->second->invalidations_ != invalidations;
  if (*leader) {
    it->second = std::make_shared<Flight>();
    it->second->invalidations_ = invalidations;
  }
  return it->second;
}

void LoadFlights::Land(absl::string_view ns, absl::string_view key,
                       const std::shared_ptr<Flight>& flight, Result result) {
  MutexLock lock(&mu_);
  flight->result_ = std::move(result);
  const auto it = flights_.find(Name(std::string(ns), std::string(key)));
  if (it != flights_.end() && it->second == flight) {
    flights_.erase(it);
    flying_.fetch_sub(1);
  }
  landed_.notify_all();
}

LoadFlights::Result LoadFlights::Wait(const std::shared_ptr<Flight>& flight) {
  MutexLock lock(&mu_);
  while (!flight->result_.has_value()) landed_.wait(mu_);
  return *flight->result_;
}

void LoadFlights::Supersede(absl::string_view ns, absl::string_view key) {
  if (flying_.load() == 0) return;
  MutexLock lock(&mu_);
  const auto it = flights_.find(Name(std::string(ns), std::string(key)));
  if (it == flights_.end()) return;
  it->second->superseded_.store(true);
  flights_.erase(it);
  flying_.fetch_sub(1);
}

}  // namespace larder::cache
