#include "tools/cli/get_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"
#include "replication/grpc_connector.h"
#include "replication/replication.pb.h"
#include "tools/cli/blob_reader.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/serving_cache.h"
#include "tools/cli/system_error.h"
#include "tools/cli/terminal.h"
#include "tools/cli/unique_fd.h"
#include "tools/cli/write_all.h"

namespace larder::cli {
namespace {

// Where the bytes go. A file appears, or is replaced, once all of them came; a
// pipe or device is written to as they come.
class Target {
 public:
  Target(const GetFlags& flags, bool json) : path_(flags.out), json_(json) {}
  ~Target() {
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }

  absl::Status Write(absl::string_view bytes) {
    if (path_.empty()) {
      return json_ ? absl::OkStatus() : WriteAll(STDOUT_FILENO, bytes);
    }
    if (!file_.valid()) LARDER_RETURN_IF_ERROR(Open());
    return WriteAll(file_.get(), bytes);
  }
  absl::Status Finish() {
    if (path_.empty()) return absl::OkStatus();
    // close() is where some file systems report that the disk is full.
    if (close(file_.Release()) != 0) return Error(errno);
    if (temporary_.empty()) return absl::OkStatus();
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return Error(errno);
    temporary_.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status Open() {
    struct stat info;
    mode_t mode = 0666;
    if (stat(path_.c_str(), &info) == 0) {
      if (!S_ISREG(info.st_mode)) {
        file_ = UniqueFd(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
        return file_.valid() ? absl::OkStatus() : Error(errno);
      }
      mode = info.st_mode & 0777;
      // Through a link, the file that it leads to is replaced.
      std::error_code error;
      path_ = std::filesystem::canonical(path_, error).string();
      if (error) return Error(error.value());
    }
    std::string temporary = absl::StrCat(path_, ".larder-", getpid(), ".tmp");
    file_ = UniqueFd(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!file_.valid()) return Error(errno);
    temporary_ = std::move(temporary);
    return absl::OkStatus();
  }
  // Not kNotFound, which would say that the blob is absent.
  absl::Status Error(int error_number) const {
    return absl::FailedPreconditionError(
        SystemError(error_number, path_).message());
  }

  std::string path_;
  const bool json_;
  UniqueFd file_;
  std::string temporary_;  // The file's name until Finish().
};

JsonArray Strings(const std::vector<std::string>& strings) {
  JsonArray array;
  for (const std::string& string : strings) array.String(string);
  return array;
}

void Describe(const GetFlags& flags, const cache::BlobAttributes& attributes,
              int64_t bytes, JsonObject* facts) {
  facts->String("namespace", flags.ns)
      .Bytes("key", flags.key)
      .Int("bytes", bytes)
      .Id("hlc", attributes.hlc.value)
      .Id("version", attributes.version)
      .Int("put_unix_ms", attributes.hlc.unix_millis())
      .Int("expires_at_unix_ms", attributes.expiry.expires_at_unix_ms)
      .Array("tags", Strings(attributes.tags));
  if (!flags.out.empty()) facts->String("out", flags.out);
}

// What was written, and of what blob.
struct Written {
  cache::BlobAttributes attributes;
  int64_t bytes = 0;
};

absl::Status ReadHere(const GetFlags& flags, Target* target, Written* written) {
  LARDER_ASSIGN_OR_RETURN(const auto cache, OpenServing(flags.cache));
  return ReadBlob(
      cache.get(), flags.ns, flags.key, [&](const cache::Hit& piece) {
        written->attributes = piece.attributes();
        written->bytes += static_cast<int64_t>(piece.bytes().size());
        return target->Write(piece.bytes());
      });
}

absl::Status ReadThere(const GetFlags& flags, Target* target, Written* written,
                       CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const Credentials credentials,
                          ReadCredentials(flags.credentials));
  bool is_first = true;
  return replication::GrpcConnector::Get(
      {.replica = *flags.replica,
       .tls = credentials.tls,
       .token = credentials.tokens.empty() ? "" : credentials.tokens[0],
       .insecure = flags.credentials.insecure},
      flags.ns, flags.key, [&](const replication::GetReply& piece) {
        if (std::exchange(is_first, false)) {
          cache::BlobAttributes& a = written->attributes;
          a.hlc.value = piece.hlc();
          a.version = piece.version();
          a.expiry.expires_at_unix_ms = piece.expires_at_unix_ms();
          a.tags.assign(piece.tags().begin(), piece.tags().end());
          result->facts.String("lineage", piece.lineage())
              .Id("epoch", piece.epoch());
        }
        written->bytes += static_cast<int64_t>(piece.data().size());
        return target->Write(piece.data());
      });
}

absl::Status Get(const GetFlags& flags, bool json, CommandResult* result) {
  Target target(flags, json);
  Written written;
  const absl::Status status = flags.replica.has_value()
                                  ? ReadThere(flags, &target, &written, result)
                                  : ReadHere(flags, &target, &written);
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat(Printable(flags.ns), " ",
                                                    Printable(flags.key), ": ",
                                                    status.message()));
  }
  Describe(flags, written.attributes, written.bytes, &result->facts);
  return target.Finish();
}

}  // namespace

CommandResult RunGet(const GetFlags& flags, Console* console) {
  CommandResult result;
  result.status = Get(flags, console->options().json, &result);
  return result;
}

}  // namespace larder::cli
