// One lock for each stripe of keys: the order of mutations of one key.
#ifndef LARDER_CACHE_KEY_LOCKS_H_
#define LARDER_CACHE_KEY_LOCKS_H_

#include <cstdint>

#include "cache/mutex.h"

namespace larder::cache {

// Whoever changes a key, in either tier, holds its stripe from the moment it
// takes its HLC until both tiers show the change; whoever moves a value between
// tiers holds it from the check that the value is current until it is in place.
// Readers hold nothing. That is how invariant 9 holds.
//
// Order of locks: key stripe, then whatever the tiers lock. Never two stripes.
class KeyLocks {
 public:
  Mutex* Of(uint64_t key_hash) { return &stripes_[key_hash % kStripes].mu; }

 private:
  static constexpr uint64_t kStripes = 1024;
  struct alignas(64) Stripe {
    Mutex mu;
  };
  Stripe stripes_[kStripes];
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_KEY_LOCKS_H_
