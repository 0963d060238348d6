// L2 beside its peers; see docs/bench/l2.md.
#include <string>

#include "bench/l2/absent.h"
#include "bench/l2/eviction.h"
#include "bench/l2/footprint.h"
#include "bench/l2/gets.h"
#include "bench/l2/invalidations.h"
#include "bench/l2/puts.h"
#include "bench/l2/reopen.h"
#include "bench/l2/sweep.h"
#include "bench/program.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {
namespace {

constexpr Work kWorks[] = {
    {"get 16 KiB", "32,000 incompressible blobs, in random order", Get16KiB},
    {"get 1 KiB", "200,000 incompressible blobs, in random order", Get1KiB},
    {"get 5 MiB incompressible", "64 blobs", Get5MiB},
    {"get 5 MiB JSON", "64 blobs, compressed on disk", Get5MiBJson},
    {"partial get", "64 KiB in the middle of 64 MiB", GetPart},
    {"put 16 KiB", "32,000 new keys, interval durability", Put16KiB},
    {"put every_put", "1 KiB, group commit: 8 threads against 1", PutEveryPut},
    {"absent key", "1,000,000 records; skip rate while they grow", AbsentKey},
    {"reopen", "up to 1,000,000 records, after a close and a kill -9", Reopen},
    {"FlushNamespace", "1,000,000 records in 200 namespaces; p99",
     FlushNamespaces},
    {"invalidate", "by tag, dependency, prefix; 1,000,000 records", Invalidate},
    {"SweepExpired", "1,000,000 due records, beside a reader", SweepDue},
    {"memory", "anonymous memory, at up to 1,000,000 records", MemoryPerRecord},
    {"disk after churn", "10x a budget of 128 MiB put, once", DiskAfterChurn},
    {"eviction", "hit ratios on traces beside FIFO and LRU, once", Eviction},
};

int RunChild(const std::string& child, const Setting& setting) {
  return child == "memory" ? RunMemoryChild(setting.dir)
                           : RunKilledChild(child, setting.dir);
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  return larder::bench::RunProgram(
      {.name = "l2_bench",
       .about = "Larder's L2 beside LMDB, RocksDB, Redis and plain files.",
       .page = "docs/bench/l2.md",
       .peers = "lmdb, rocksdb, \"rocksdb blobdb\", redis, raw",
       .works = larder::bench::kWorks,
       .reads_traces = true,
       .run_child = larder::bench::RunChild},
      argc, argv);
}
