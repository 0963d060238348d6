#include "tools/cli/put_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/policy.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/read_input.h"
#include "tools/cli/system_error.h"
#include "tools/cli/terminal.h"
#include "tools/cli/unique_fd.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

absl::StatusOr<std::string> ReadValue(const std::string& file) {
  const bool from_stdin = file.empty() || file == "-";
  UniqueFd opened;
  if (!from_stdin) {
    opened = UniqueFd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened.valid()) return SystemError(errno, file);
  }
  std::string value;
  const absl::Status status =
      ReadInput(from_stdin ? STDIN_FILENO : opened.get(), /*bytes_hint=*/0,
                cache::kBlobBytesMax, &value);
  if (status.ok() || absl::IsCancelled(status)) return value;
  return absl::Status(status.code(), absl::StrCat(from_stdin ? "stdin" : file,
                                                  ": ", status.message()));
}

absl::Status Put(const PutFlags& flags, Console* console,
                 CommandResult* result) {
  LARDER_RETURN_IF_ERROR(cache::ValidateKey(flags.key));
  // First the value: a missing file must not leave an empty L2 behind.
  LARDER_ASSIGN_OR_RETURN(const std::string value, ReadValue(flags.file));
  if (Interrupted()) return InterruptedError();
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kStore));
  cache::PutOptions options;
  options.ttl_ms = flags.ttl_ms;
  options.tags = flags.tags;
  options.l1_admission = cache::L1Admission::kNever;
  LARDER_ASSIGN_OR_RETURN(const cache::Mutation mutation,
                          cache->Put(flags.ns, flags.key, value, options));
  LARDER_RETURN_IF_ERROR(cache->Flush());
  const auto bytes = static_cast<int64_t>(value.size());
  result->facts.String("namespace", flags.ns)
      .Bytes("key", flags.key)
      .Int("bytes", bytes)
      .Id("hlc", mutation.hlc.value)
      .Id("epoch", mutation.epoch);
  console->Say(
      absl::StrCat("stored  ", Printable(flags.key), ", ", FormatBytes(bytes)));
  return absl::OkStatus();
}

}  // namespace

CommandResult RunPut(const PutFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Put(flags, console, &result);
  return result;
}

}  // namespace larder::cli
