#include "bench/trace.h"

#include <zstd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

absl::StatusOr<std::string> ReadZstd(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) return absl::NotFoundError(absl::StrCat(path, ": none"));
  const std::string packed((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(
      ZSTD_createDStream(), ZSTD_freeDStream);
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  std::string text;
  std::vector<char> chunk(ZSTD_DStreamOutSize());
  size_t left = 1;  // Of a frame: 0 at its end.
  while (in.pos < in.size) {
    ZSTD_outBuffer out = {chunk.data(), chunk.size(), 0};
    left = ZSTD_decompressStream(stream.get(), &out, &in);
    if (ZSTD_isError(left)) {
      return absl::DataLossError(
          absl::StrCat(path, ": zstd: ", ZSTD_getErrorName(left)));
    }
    text.append(chunk.data(), out.pos);
  }
  if (left != 0) return absl::DataLossError(absl::StrCat(path, ": cut off"));
  return text;
}

}  // namespace

absl::StatusOr<Trace> ParseTrace(absl::string_view name,
                                 absl::string_view text) {
  Trace trace{std::string(name), {}, 0};
  absl::flat_hash_map<absl::string_view, int64_t> numbers;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    Request request;
    if (!absl::SimpleAtoi(fields.second, &request.bytes) ||
        request.bytes <= 0) {
      return absl::DataLossError(
          absl::StrCat(name, ": request ", trace.requests.size(),
                       ": not a key and a size above 0"));
    }
    const auto [it, is_new] = numbers.try_emplace(fields.first, trace.keys);
    if (is_new) ++trace.keys;
    request.key = it->second;
    trace.requests.push_back(request);
  }
  return trace;
}

absl::StatusOr<Trace> ReadTrace(const std::string& dir,
                                absl::string_view name) {
  const std::string path = absl::StrCat(dir, "/", name, ".txt.zst");
  LARDER_ASSIGN_OR_RETURN(const std::string text, ReadZstd(path));
  return ParseTrace(name, text);
}

int64_t FootprintBytes(const Trace& trace) {
  int64_t bytes = 0;
  int64_t next = 0;
  for (const Request& request : trace.requests) {
    if (request.key != next) continue;
    bytes += request.bytes;
    ++next;
  }
  return bytes;
}

Trace FirstRequests(const Trace& trace, int64_t count) {
  Trace out{trace.name, {}, 0};
  const int64_t end =
      std::min(count, static_cast<int64_t>(trace.requests.size()));
  out.requests.assign(trace.requests.begin(), trace.requests.begin() + end);
  for (const Request& request : out.requests) {
    out.keys = std::max(out.keys, request.key + 1);
  }
  return out;
}

Trace WithSizesTimes(const Trace& trace, double factor) {
  Trace out = trace;
  for (Request& request : out.requests) {
    request.bytes = std::max<int64_t>(
        1, std::llround(static_cast<double>(request.bytes) * factor));
  }
  return out;
}

}  // namespace larder::bench
