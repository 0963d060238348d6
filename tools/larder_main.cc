#include "tools/command_line.h"

int main(int argc, char** argv) { return larder::tools::RunLarder(argc, argv); }
