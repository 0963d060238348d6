// The demo's figures, for people and for programs.
#ifndef LARDER_TOOLS_DEMO_REPORT_H_
#define LARDER_TOOLS_DEMO_REPORT_H_

#include "tools/cli/json_writer.h"
#include "tools/demo/stage.h"

namespace larder::demo {

// The closing table.
void PrintReport(const Stage& stage);

void AddReport(const Stage& stage, cli::JsonObject* facts);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_REPORT_H_
