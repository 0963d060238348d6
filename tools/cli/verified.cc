#include "tools/cli/verified.h"

#include "absl/strings/str_cat.h"
#include "tools/cli/instant.h"

namespace larder::cli {

using backup::format::Verification;

absl::string_view ModeName(backup::format::VerifyMode mode) {
  switch (mode) {
    case backup::format::VERIFY_MODE_QUICK:
      return "quick";
    case backup::format::VERIFY_MODE_SAMPLE:
      return "sample";
    case backup::format::VERIFY_MODE_FULL:
      return "full";
    default:
      return "unknown";  // A file may say anything.
  }
}

std::string VerifiedText(
    const absl::StatusOr<std::optional<Verification>>& last,
    absl::TimeZone zone) {
  if (!last.ok()) return "unreadable";
  if (!last->has_value()) return "never";
  const Verification& verified = **last;
  return absl::StrCat(ModeName(verified.mode()), " ",
                      FormatInstant(verified.finished_unix_ms(), zone),
                      verified.status_code() == 0 ? "" : ", DAMAGED");
}

void AddVerified(const absl::StatusOr<std::optional<Verification>>& last,
                 JsonObject* facts) {
  if (!last.ok() || !last->has_value()) return;
  const Verification& verified = **last;
  JsonObject object;
  object.String("mode", ModeName(verified.mode()))
      .Int("unix_ms", verified.finished_unix_ms())
      .Bool("sound", verified.status_code() == 0)
      .Int("problems", verified.problems())
      .Int("bytes_read", verified.bytes_read());
  if (verified.status_code() != 0) {
    object.String("error", verified.status_message());
  }
  if (verified.mode() == backup::format::VERIFY_MODE_SAMPLE) {
    object.Id("seed", verified.seed())
        .Number("sample_percent",
                static_cast<double>(verified.sample_millionths()) / 1e4);
  }
  facts->Object("verified", object);
}

}  // namespace larder::cli
