#include "backup/internal/file_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::Loss;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::FilePart;

absl::Status FileReader::OnChunk(const ChunkHeader& header,
                                 absl::string_view payload) {
  if (header.Is(ChunkType::kFiles)) {
    sequences_.insert(header.sequence);
    return OnFiles(payload);
  }
  if (header.Is(ChunkType::kNames)) return OnNames(payload);
  return absl::OkStatus();
}

void FileReader::OnGap(const absl::Status& reason) {
  gap_reason_ = std::string(reason.message());
}

std::string FileReader::GapReason() const {
  return gap_reason_.empty() ? "its chunks are missing" : gap_reason_;
}

absl::Status FileReader::OnFiles(absl::string_view payload) {
  backup::format::Files files;
  absl::Status parsed = backup::format::ParseMessage(payload, &files);
  if (parsed.ok() && files.parts_size() > backup::format::kPartsPerChunkMax) {
    parsed = absl::DataLossError(
        absl::StrFormat("%d file parts exceed %d", files.parts_size(),
                        backup::format::kPartsPerChunkMax));
  }
  if (absl::IsFailedPrecondition(parsed)) return parsed;
  if (!parsed.ok()) {
    OnGap(parsed);
    problem_(parsed);
    return absl::OkStatus();
  }
  for (const FilePart& part : files.parts()) {
    LARDER_RETURN_IF_ERROR(TakePart(part));
  }
  return absl::OkStatus();
}

void FileReader::Lose(const std::string& path, absl::string_view reason) {
  ++counts_.lost;
  lost_names_.insert(path);
  losses_->Add({.kind = Loss::Kind::kFile,
                .source = source_,
                .ns = "",
                .name = path,
                .count = 1,
                .reason = std::string(reason)});
}

void FileReader::LoseOpen(absl::string_view reason) {
  open_ = false;
  target_->Abandon();
  Lose(path_, reason);
}

absl::Status FileReader::TakePart(const FilePart& part) {
  bytes_seen_ += static_cast<int64_t>(part.data().size());
  if (bytes_seen_ > totals_->file_bytes_begun()) {
    return absl::DataLossError(
        absl::StrFormat("source %s: files hold more than the %d bytes that the "
                        "manifest says",
                        source_, totals_->file_bytes_begun()));
  }
  const bool continues = files_seen_ > 0 && part.file() == files_seen_ - 1;
  if (!continues) {
    LARDER_RETURN_IF_ERROR(BeginFile(part));
  } else if (open_ && part.path() != path_) {
    LoseOpen("its name changes");
  }
  if (!open_) return absl::OkStatus();
  if (part.abandoned()) {
    LoseOpen("could not be read when the backup was made");
    return absl::OkStatus();
  }
  if (part.offset() != offset_) {
    LoseOpen(GapReason());
    return absl::OkStatus();
  }
  LARDER_RETURN_IF_ERROR(target_->Append(part.data()));
  checksum_.Update(part.data());
  offset_ += part.data().size();
  return part.last() ? FinishFile(part) : absl::OkStatus();
}

// Starts the file of `part`, the first one seen of it.
absl::Status FileReader::BeginFile(const FilePart& part) {
  if (open_) LoseOpen(GapReason());
  const uint64_t begun = static_cast<uint64_t>(totals_->files_begun());
  if (part.file() < files_seen_ || part.file() >= begun) {
    problem_(absl::DataLossError(
        absl::StrFormat("source %s: file %d vs expected from %d, of %d",
                        source_, part.file(), files_seen_, begun)));
    return absl::OkStatus();
  }
  unnamed_ += static_cast<int64_t>(part.file() - files_seen_);
  files_seen_ = part.file() + 1;
  absl::Status good = backup::format::CheckRelativePath(part.path());
  if (good.ok() && !path_.empty() &&
      !backup::format::PathLess(path_, part.path())) {
    good = absl::InvalidArgumentError("out of order");
  }
  if (part.offset() != 0 && part.path() == last_told_) {
    // Names told of its start before this part came.
    ++unnamed_;
    return absl::OkStatus();
  }
  if (good.ok() && part.offset() != 0) good = absl::DataLossError(GapReason());
  if (good.ok()) {
    path_ = part.path();
    good = target_->Begin({.path = part.path(),
                           .mode = part.mode(),
                           .modified_unix_nanos = part.modified_unix_nanos()});
    if (!good.ok() && !absl::IsFailedPrecondition(good)) return good;
  }
  if (!good.ok()) {
    Lose(part.path(), good.message());
    return absl::OkStatus();
  }
  open_ = true;
  offset_ = 0;
  checksum_.Reset();
  return absl::OkStatus();
}

absl::Status FileReader::FinishFile(const FilePart& part) {
  const absl::uint128 found = checksum_.Digest();
  absl::uint128 expected;
  if (!backup::format::DecodeUint128(part.checksum(), &expected) ||
      found != expected) {
    LoseOpen(absl::StrFormat(
        "checksum %s vs expected %s", backup::format::Hex(found),
        part.checksum().empty() ? "one" : backup::format::Hex(expected)));
    return absl::OkStatus();
  }
  open_ = false;
  LARDER_RETURN_IF_ERROR(target_->Finish());
  ++counts_.restored;
  counts_.restored_bytes += static_cast<int64_t>(offset_);
  return absl::OkStatus();
}

absl::Status FileReader::OnNames(absl::string_view payload) {
  backup::format::Names names;
  const absl::Status parsed = backup::format::ParseMessage(payload, &names);
  if (absl::IsFailedPrecondition(parsed)) return parsed;
  if (!parsed.ok()) problem_(parsed);
  for (const auto& chunk : names.chunks()) {
    if (sequences_.contains(chunk.sequence())) continue;
    for (const std::string& name : chunk.names()) {
      // The file under way is booked when it is left.
      if ((open_ && name == path_) || lost_names_.contains(name)) continue;
      Lose(name, GapReason());
      --unnamed_;
      last_told_ = name;
    }
  }
  lost_names_.clear();
  sequences_.clear();
  return absl::OkStatus();
}

absl::Status FileReader::Finish() {
  if (open_) LoseOpen(GapReason());
  unnamed_ += totals_->files_begun() - static_cast<int64_t>(files_seen_);
  if (unnamed_ < 0) {
    problem_(absl::DataLossError(absl::StrFormat(
        "source %s: %d files more than expected", source_, -unnamed_)));
  }
  if (unnamed_ <= 0) return absl::OkStatus();
  counts_.lost += unnamed_;
  losses_->Add({.kind = Loss::Kind::kUnnamedFiles,
                .source = source_,
                .ns = "",
                .name = "",
                .count = unnamed_,
                .reason = GapReason()});
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
