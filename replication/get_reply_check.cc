#include "replication/get_reply_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/format/limits.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "replication/limits.h"

namespace larder::replication {
namespace {

absl::Status CheckMax(absl::string_view what, uint64_t actual, uint64_t most) {
  if (actual <= most) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(what, ": ", actual, " vs at most ", most));
}

absl::Status CheckAttributes(const GetReply& piece) {
  LARDER_RETURN_IF_ERROR(
      CheckMax("lineage bytes", piece.lineage().size(), kLineageBytesMax));
  LARDER_RETURN_IF_ERROR(CheckMax("hlc", piece.hlc(), backup::format::kHlcMax));
  LARDER_RETURN_IF_ERROR(CheckMax("tags",
                                  static_cast<uint64_t>(piece.tags_size()),
                                  static_cast<uint64_t>(cache::kTagsMax)));
  for (const std::string& tag : piece.tags()) {
    LARDER_RETURN_IF_ERROR(
        CheckMax("bytes of a tag", tag.size(),
                 static_cast<uint64_t>(cache::kTagBytesMax)));
  }
  if (piece.expires_at_unix_ms() >= 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("expiry: ", piece.expires_at_unix_ms(), " vs at least 0"));
}

// Of all pieces but the first.
absl::Status CheckOnlyData(const GetReply& piece) {
  if (piece.data().empty()) return absl::DataLossError("no data");
  if (piece.lineage().empty() && piece.epoch() == 0 && piece.hlc() == 0 &&
      piece.version() == 0 && piece.expires_at_unix_ms() == 0 &&
      piece.tags().empty()) {
    return absl::OkStatus();
  }
  return absl::DataLossError("attributes, which only the first has");
}

}  // namespace

absl::Status GetReplyCheck::Add(const GetReply& piece) {
  const auto check = [&] {
    LARDER_RETURN_IF_ERROR(
        CheckMax("data bytes", piece.data().size(), kPieceBytesMax));
    LARDER_RETURN_IF_ERROR(
        CheckMax("bytes of the blob",
                 static_cast<uint64_t>(bytes_) + piece.data().size(),
                 static_cast<uint64_t>(cache::kBlobBytesMax)));
    return pieces_ == 0 ? CheckAttributes(piece) : CheckOnlyData(piece);
  };
  const absl::Status status = check();
  if (!status.ok()) {
    return absl::DataLossError(
        absl::StrCat("get: reply ", pieces_, ": ", status.message()));
  }
  ++pieces_;
  bytes_ += static_cast<int64_t>(piece.data().size());
  return absl::OkStatus();
}

absl::Status GetReplyCheck::Finish() const {
  return pieces_ > 0 ? absl::OkStatus()
                     : absl::DataLossError("get: replies: 0 vs at least 1");
}

}  // namespace larder::replication
