#include "backup/internal/pack_check.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {
namespace {

using backup::Archive;
using backup::format::Pack;
using cache::l2::File;

// Opens it; its size is right. A pack that is not there is kDataLoss.
absl::StatusOr<std::unique_ptr<File>> OpenPack(const Archive& archive,
                                               const Pack& pack) {
  const std::string path = archive.PackPath(pack.name());
  auto file = archive.file_system()->Open(path, {.read_only = true});
  if (absl::IsNotFound(file.status())) {
    return absl::DataLossError(file.status().message());
  }
  LARDER_RETURN_IF_ERROR(file.status());
  if ((*file)->Size() == pack.bytes()) return file;
  return absl::DataLossError(absl::StrFormat(
      "%s: %d bytes vs expected %d", path, (*file)->Size(), pack.bytes()));
}

}  // namespace

absl::Status CheckPackHead(const Archive& archive, const Pack& pack,
                           const backup::format::DumpHeader* owner) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          OpenPack(archive, pack));
  std::string bytes(backup::format::kPackHeadBytes, '\0');
  LARDER_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(bytes)));
  const auto head = backup::format::DecodePackHead(bytes);
  if (!head.ok()) {
    return absl::Status(
        head.status().code(),
        absl::StrCat(file->path(), ": ", head.status().message()));
  }
  if (owner == nullptr || (head->stream_id == owner->stream_id() &&
                           head->first_sequence == pack.first_sequence())) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat(file->path(), ": head is of another pack"));
}

absl::Status CheckPackBytes(const Archive& archive, const Pack& pack,
                            const backup::Cancellation* cancellation,
                            const std::function<void(int64_t)>& progress) {
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          OpenPack(archive, pack));
  constexpr uint64_t kPieceBytes = 1 << 20;
  backup::format::StreamingChecksum128 checksum;
  std::string piece;
  for (uint64_t at = 0; at < pack.bytes(); at += piece.size()) {
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation));
    piece.resize(std::min(kPieceBytes, pack.bytes() - at));
    LARDER_RETURN_IF_ERROR(file->ReadAt(at, absl::MakeSpan(piece)));
    checksum.Update(piece);
    progress(static_cast<int64_t>(piece.size()));
  }
  absl::uint128 expected = 0;
  backup::format::DecodeUint128(pack.checksum(), &expected);
  if (checksum.Digest() == expected) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat(
      "%s: checksum %s vs expected %s", file->path(),
      backup::format::Hex(checksum.Digest()), backup::format::Hex(expected)));
}

absl::flat_hash_set<std::string> SamplePacks(std::vector<std::string> names,
                                             uint32_t sample_millionths,
                                             uint64_t seed) {
  constexpr uint64_t kMillion = 1'000'000;
  const uint64_t count =
      (names.size() * sample_millionths + kMillion - 1) / kMillion;
  std::vector<std::pair<uint64_t, std::string>> ranked;
  for (std::string& name : names) {
    const uint64_t rank =
        backup::format::Checksum64(absl::StrCat(seed, " ", name));
    ranked.emplace_back(rank, std::move(name));
  }
  std::sort(ranked.begin(), ranked.end());
  absl::flat_hash_set<std::string> chosen;
  for (uint64_t i = 0; i < count; ++i) {
    chosen.insert(std::move(ranked[i].second));
  }
  return chosen;
}

}  // namespace larder::backup_internal
