// Backups beside those of other stores; see docs/bench/backup.md.
#include <string>

#include "bench/backup/deltas.h"
#include "bench/backup/dumps.h"
#include "bench/backup/foreground.h"
#include "bench/backup/lazy.h"
#include "bench/backup/memory.h"
#include "bench/backup/replica_child.h"
#include "bench/backup/replicas.h"
#include "bench/program.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {
namespace {

constexpr Work kWorks[] = {
    {"full dump, 16 KiB", "512 MiB of incompressible blobs, to a directory",
     FullDump},
    {"full dump, compressible", "the same as zstd: CPU per stored byte",
     CompressibleDump},
    {"delta", "after 1 % of 1,000,000 records of 1 KiB changed",
     DeltaOfChanges},
    {"3 sinks at 3 bases", "one full dump, two deltas: bytes read, CPU time",
     SeveralBases},
    {"idle delta", "of 10,000 and of 1,000,000 records", IdleDelta},
    {"foreground", "get and put p99.9 beside backups", Foreground},
    {"pin hold", "p99 over snapshots beside puts", PinHold},
    {"lazy restore",
     "from the open to the first blob, of 4 GiB and of an eighth",
     LazyRestoreFirstHit},
    {"3 replicas", "the primary's CPU time, beside that with one", ReplicaCpu},
    {"100 cuts", "bytes that one transfer sends over them", CutTransfer},
    {"memory of a dump",
     "most anonymous memory, of a small and a large one, with a replica, too",
     MemoryOfDump},
};

int RunChild(const std::string& child, const Setting& setting) {
  if (child == "replica") return RunReplicaChild(setting.dir);
  return child == "send" ? RunSendChild(setting.dir)
                         : RunDumpChild(setting.dir);
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  return larder::bench::RunProgram(
      {.name = "backup_bench",
       .about = "Larder's backups beside RocksDB's, LMDB's and plain copies.",
       .page = "docs/bench/backup.md",
       .peers = "lmdb, rocksdb, \"rocksdb blobdb\", cp, incompressible",
       .works = larder::bench::kWorks,
       .run_child = larder::bench::RunChild},
      argc, argv);
}
