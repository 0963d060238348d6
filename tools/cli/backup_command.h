// larder backup: a consistent snapshot into one or more archives.
#ifndef LARDER_TOOLS_CLI_BACKUP_COMMAND_H_
#define LARDER_TOOLS_CLI_BACKUP_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backup/orchestrator.h"
#include "replication/endpoint.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"
#include "tools/cli/replica_flags.h"

namespace larder::cli {

struct BackupFlags {
  CacheFlags cache;
  std::vector<std::string> directories;  // One archive each.
  std::vector<replication::Endpoint> replicas;
  CredentialFlags credentials;  // For all replicas.
  // Of this primary: see docs/replication.md. 0: that of its promotion, or 1.
  int64_t term = 0;
  // So many of the archives and replicas must have it; 0: all.
  int64_t quorum = 0;
  bool include_blob_cache = false;
  // BackupRequest's.
  bool full = false;
  std::string base_id;
  int64_t bytes_per_second_max = 0;
  bool full_priority = false;
  std::string files;  // A directory that is backed up too; empty: none.
};

// A file or blob that failed while the rest worked is a failure
// (kExitPartial); so is an archive or replica, unless a quorum has the dump.
// One that has seen a higher term ends in kExitFenced, whatever the others say.
// Ctrl-C lists nothing anywhere, but where a sink had been told to finish: that
// one is named.
CommandResult RunBackup(const BackupFlags& flags, Console* console);

// Why a backup of which no sink has the snapshot for certain failed, and which
// of them may have it all the same.
absl::Status WhyFailed(const backup::BackupReport& report);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_BACKUP_COMMAND_H_
