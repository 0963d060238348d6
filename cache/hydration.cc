#include "cache/hydration.h"

#include <array>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/status_macros.h"

namespace larder::cache {
namespace {

using l2::File;
using l2::FileSystem;

constexpr absl::string_view kMagic = "LARDHYDR";
constexpr uint32_t kVersion = 1;
// magic | version | 0 | floor | XXH3-64 of what is before.
constexpr size_t kVersionAt = 8;
constexpr size_t kFloorAt = 16;
constexpr size_t kChecksumAt = 24;
constexpr size_t kBytes = 32;

std::string PathIn(const std::string& l2_path) {
  return absl::StrCat(l2_path, "/", kHydratingName);
}

}  // namespace

absl::Status BeginHydration(FileSystem* file_system, const std::string& l2_path,
                            Hlc floor) {
  LARDER_CHECK(floor.value > 0);
  std::string bytes(kMagic);
  l2::AppendFixed32(&bytes, kVersion);
  l2::AppendFixed32(&bytes, 0);
  l2::AppendFixed64(&bytes, floor.value);
  l2::AppendFixed64(&bytes, l2::Checksum64(bytes));
  const std::string path = PathIn(l2_path);
  const std::string temporary = absl::StrCat(path, ".tmp");
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                          file_system->Open(temporary, {.create = true}));
  LARDER_RETURN_IF_ERROR(file->Resize(kBytes));
  LARDER_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  LARDER_RETURN_IF_ERROR(file->Sync());
  file.reset();
  LARDER_RETURN_IF_ERROR(file_system->Rename(temporary, path));
  return file_system->SyncDirectory(l2_path);
}

absl::StatusOr<std::optional<Hlc>> ReadHydration(FileSystem* file_system,
                                                 const std::string& l2_path) {
  const std::string path = PathIn(l2_path);
  if (!file_system->Exists(path)) return std::optional<Hlc>();
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          file_system->Open(path, {.read_only = true}));
  const auto bad = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  if (file->Size() != kBytes) {
    return bad(absl::StrCat(file->Size(), " bytes vs ", kBytes));
  }
  std::array<char, kBytes> bytes;
  LARDER_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(bytes)));
  if (absl::string_view(bytes.data(), kMagic.size()) != kMagic) {
    return bad("no magic");
  }
  const uint64_t found =
      l2::Checksum64(absl::string_view(bytes.data(), kChecksumAt));
  const uint64_t expected = l2::LoadFixed64(bytes.data() + kChecksumAt);
  if (found != expected) {
    return bad(absl::StrCat("checksum: found ", found, " vs ", expected));
  }
  const uint32_t version = l2::LoadFixed32(bytes.data() + kVersionAt);
  if (version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": version ", version, " vs ", kVersion));
  }
  const Hlc floor{l2::LoadFixed64(bytes.data() + kFloorAt)};
  if (floor.value == 0) return bad("floor: 0 vs at least 1");
  return std::optional<Hlc>(floor);
}

absl::Status EndHydration(FileSystem* file_system, const std::string& l2_path) {
  const absl::Status removed = file_system->Remove(PathIn(l2_path));
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  return file_system->SyncDirectory(l2_path);
}

}  // namespace larder::cache
