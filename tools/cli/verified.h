// How a snapshot was found when it was verified last, for people and --json.
#ifndef LARDER_TOOLS_CLI_VERIFIED_H_
#define LARDER_TOOLS_CLI_VERIFIED_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "backup/format/dump.pb.h"
#include "tools/cli/json_writer.h"

namespace larder::cli {

absl::string_view ModeName(backup::format::VerifyMode mode);  // "quick"

// What backup::ReadVerification() gives: "full 2026-11-26 09:30:05", with
// ", DAMAGED" behind it when it was; "never"; "unreadable".
std::string VerifiedText(
    const absl::StatusOr<std::optional<backup::format::Verification>>& last,
    absl::TimeZone zone);

// Adds "verified", unless it never was or cannot be read.
void AddVerified(
    const absl::StatusOr<std::optional<backup::format::Verification>>& last,
    JsonObject* facts);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_VERIFIED_H_
