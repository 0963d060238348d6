#include "backup/small_file.h"

#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::l2::File;
using cache::l2::FileSystem;

// XXH3-64 of the content, behind it.
constexpr size_t kChecksumBytes = 8;

}  // namespace

absl::Status WriteSmallFile(FileSystem* file_system,
                            const std::string& directory,
                            absl::string_view name, absl::string_view content) {
  LARDER_CHECK(content.size() <= kSmallFileBytesMax);
  std::string bytes(content);
  format::AppendFixed<uint64_t>(format::Checksum64(content), &bytes);
  const std::string path = absl::StrCat(directory, "/", name);
  const std::string temporary = absl::StrCat(path, ".tmp");
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<File> file,
      file_system->Open(temporary, {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file->Resize(bytes.size()));
  LARDER_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  LARDER_RETURN_IF_ERROR(file->Sync());
  file.reset();
  LARDER_RETURN_IF_ERROR(file_system->Rename(temporary, path));
  return file_system->SyncDirectory(directory);
}

absl::StatusOr<std::string> ReadSmallFile(FileSystem* file_system,
                                          const std::string& directory,
                                          absl::string_view name) {
  const std::string path = absl::StrCat(directory, "/", name);
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          file_system->Open(path, {.read_only = true}));
  const uint64_t size = file->Size();
  if (size < kChecksumBytes || size > kSmallFileBytesMax + kChecksumBytes) {
    return absl::DataLossError(absl::StrCat(path, ": ", size, " bytes vs ",
                                            kChecksumBytes, " to ",
                                            kSmallFileBytesMax));
  }
  std::string bytes(size, '\0');
  LARDER_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(bytes)));
  const absl::string_view content =
      absl::string_view(bytes).substr(0, size - kChecksumBytes);
  const uint64_t found =
      format::LoadFixed<uint64_t>(bytes.data() + content.size());
  if (found != format::Checksum64(content)) {
    return absl::DataLossError(absl::StrCat(path, ": checksum is wrong"));
  }
  return std::string(content);
}

}  // namespace larder::backup
