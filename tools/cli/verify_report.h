// What verify found of an L2, for people and for --json.
#ifndef LARDER_TOOLS_CLI_VERIFY_REPORT_H_
#define LARDER_TOOLS_CLI_VERIFY_REPORT_H_

#include "absl/strings/string_view.h"
#include "cache/verify.h"
#include "tools/cli/console.h"
#include "tools/cli/json_writer.h"

namespace larder::cli {

// "name         value", a line on stdout.
void SayRow(Console* console, absl::string_view name, absl::string_view value);

void AddVerifyFacts(const cache::VerifyReport& report, JsonObject* facts);
// All but the damages, one by one.
void SayVerifyReport(const cache::VerifyReport& report, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_VERIFY_REPORT_H_
