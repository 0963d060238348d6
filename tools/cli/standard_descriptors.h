// Descriptors 0, 1 and 2 are there, whatever the caller closed.
#ifndef LARDER_TOOLS_CLI_STANDARD_DESCRIPTORS_H_
#define LARDER_TOOLS_CLI_STANDARD_DESCRIPTORS_H_

namespace larder::cli {

// Fills those that are closed, so that no file of ours gets their number, and
// what is meant for a person goes into it. Reading and writing them still
// fails. Call it before anything is opened.
void FillStandardDescriptors();

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_STANDARD_DESCRIPTORS_H_
