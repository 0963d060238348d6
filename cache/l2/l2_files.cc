#include "cache/l2/l2_files.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/l2/page.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Address space that View() reserves beyond the budget, for an L2 that was
// made with a larger one.
constexpr uint64_t kMapBytesMin = uint64_t{1} << 30;
// A `space` file is at most two bits for each 128 bytes of the budget; this
// leaves room for the meta lane's sectors between the others.
constexpr uint64_t kSpaceShare = 64;

absl::Status CheckIsL2OrEmpty(FileSystem* fs, const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(path));
  for (const std::string& name : names) {
    if (name == "meta") return absl::OkStatus();
  }
  for (const std::string& name : names) {
    // What a kill in the middle of a creation leaves.
    if (name != "LOCK" && name != "blobs" && name != "space" &&
        name != "journal-0" && name != "journal-1") {
      return absl::FailedPreconditionError(absl::StrCat(
          path, ": not an L2: has no `meta` but other files: ", name));
    }
  }
  return absl::OkStatus();
}

// Creates the directory and what is missing above it, so that a power cut
// keeps them: each new entry is synced into its parent.
absl::Status CreateDirectoriesDurably(FileSystem* fs, const std::string& path) {
  std::vector<std::string> parents;
  for (std::string p = path; !p.empty() && !fs->Exists(p);) {
    const size_t slash = p.find_last_of('/');
    p = slash == std::string::npos ? "" : p.substr(0, slash);
    parents.push_back(!p.empty() ? p : slash == std::string::npos ? "." : "/");
  }
  LARDER_RETURN_IF_ERROR(fs->CreateDirectories(path));
  for (const std::string& parent : parents) {
    LARDER_RETURN_IF_ERROR(fs->SyncDirectory(parent));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<L2Files> OpenL2Files(FileSystem* fs, const std::string& path,
                                    bool create, uint64_t l2_bytes_max) {
  if (create) {
    LARDER_RETURN_IF_ERROR(CreateDirectoriesDurably(fs, path));
  } else if (!fs->Exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such L2 directory"));
  }
  LARDER_RETURN_IF_ERROR(CheckIsL2OrEmpty(fs, path));
  if (!create && !fs->Exists(path + "/meta")) {
    return absl::NotFoundError(absl::StrCat(path, ": holds no L2"));
  }
  L2Files files;
  LARDER_ASSIGN_OR_RETURN(files.lock, fs->Lock(path + "/LOCK"));
  const uint64_t map_bytes = std::max(l2_bytes_max, kMapBytesMin);
  const auto open = [&](const char* name, uint64_t bytes_max) {
    return fs->Open(absl::StrCat(path, "/", name),
                    {.create = create, .size_bytes_max = bytes_max});
  };
  LARDER_ASSIGN_OR_RETURN(files.meta, open("meta", map_bytes));
  LARDER_ASSIGN_OR_RETURN(files.blobs, open("blobs", map_bytes));
  LARDER_ASSIGN_OR_RETURN(files.space, open("space", map_bytes / kSpaceShare));
  LARDER_ASSIGN_OR_RETURN(files.journal[0], open("journal-0", map_bytes));
  LARDER_ASSIGN_OR_RETURN(files.journal[1], open("journal-1", map_bytes));
  return files;
}

}  // namespace larder::cache::l2
