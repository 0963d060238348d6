#include "tools/demo/readers.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "tools/demo/corpus.h"

namespace larder::demo {

void Readers::Start(int threads) {
  stop_ = false;
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, i] { Run(static_cast<uint64_t>(i) + 1); });
  }
}

void Readers::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Readers::Run(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> unit(0, 1);
  while (!stop_.load(std::memory_order_relaxed)) {
    const int64_t published = published_.load(std::memory_order_acquire);
    if (published == 0) {
      std::this_thread::yield();
      continue;
    }
    // Cubed: half of the gets go to an eighth of the files.
    const double share = unit(random);
    ReadOne(static_cast<int64_t>(share * share * share *
                                 static_cast<double>(published)));
  }
}

void Readers::ReadOne(int64_t index) {
  const auto& files = stage_->corpus.files;
  const CorpusFile& file = files[static_cast<size_t>(index)];
  const std::string ns = RootNamespace(file.root);
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  const std::optional<cache::Hit> hit = stage_->cache->Get(ns, file.key);
  const int64_t nanos = clock->NowSteadyNanos() - start_nanos;
  if (LatencyHistogram* histogram = histogram_.load()) histogram->Add(nanos);
  gets_.fetch_add(1, std::memory_order_relaxed);
  if (!hit.has_value()) return;
  const uint64_t version = hit->attributes().version;
  const bool known = version >= 1 && version <= files.size();
  if (!known || ContentChecksum(hit->bytes()) != files[version - 1].checksum) {
    wrong_.fetch_add(1);
  }
}

}  // namespace larder::demo
