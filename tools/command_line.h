// The command lines of the programs in tools/: what they take, and what runs.
#ifndef LARDER_TOOLS_COMMAND_LINE_H_
#define LARDER_TOOLS_COMMAND_LINE_H_

namespace larder::tools {

// larder SUBCOMMAND [OPTIONS]. Returns: the exit code (tools/cli/exit_codes.h).
int RunLarder(int argc, char** argv);

// Programs of their own, with the options of the subcommand.
int RunBackupProgram(int argc, char** argv);
int RunRestoreProgram(int argc, char** argv);

}  // namespace larder::tools

#endif  // LARDER_TOOLS_COMMAND_LINE_H_
