// Object miss ratios of L1 on traces of requests; prints a table.
//
//   bazel run //cache/l1:l1_miss_ratio_main -- /path/to/traces
//
// A trace is NAME.txt.zst, one request a line: key, size. A cache size is a
// share of all distinct objects, each at what L1 counts for it: payload and
// overhead. Every miss is inserted. Published figures for the same traces and
// shares, and what else was tried: docs/adr/0002-l1-eviction.md.
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/l1/l1_cache.h"

namespace larder::cache::l1 {
namespace {

struct Request {
  std::string key;
  int64_t bytes = 0;
};

// Returns: empty when `path` is absent or is not zstd.
std::string ReadZstd(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string packed((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(
      ZSTD_createDStream(), ZSTD_freeDStream);
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  std::string text;
  std::vector<char> chunk(ZSTD_DStreamOutSize());
  while (in.pos < in.size) {
    ZSTD_outBuffer out = {chunk.data(), chunk.size(), 0};
    if (ZSTD_isError(ZSTD_decompressStream(stream.get(), &out, &in))) return "";
    text.append(chunk.data(), out.pos);
  }
  return text;
}

std::vector<Request> ReadTrace(const std::string& path) {
  std::vector<Request> requests;
  for (const absl::string_view line :
       absl::StrSplit(ReadZstd(path), '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, ' ');
    Request request{std::string(fields.first)};
    if (!absl::SimpleAtoi(fields.second, &request.bytes)) return {};
    requests.push_back(std::move(request));
  }
  return requests;
}

std::shared_ptr<const Blob> MakeBlob(int64_t bytes) {
  return std::make_shared<const Blob>(
      BlobAttributes{}, std::string(static_cast<size_t>(bytes), 'x'));
}

// What L1 counts for all distinct objects.
int64_t FootprintBytes(const std::vector<Request>& requests) {
  L1Cache cache({});
  absl::flat_hash_map<absl::string_view, int64_t> objects;
  int64_t bytes = 0;
  for (const Request& request : requests) {
    if (!objects.emplace(request.key, request.bytes).second) continue;
    cache.Insert("t", request.key, MakeBlob(0), 0);
    bytes += cache.Stats().bytes_in_use + request.bytes;
    cache.Erase("t", request.key);
  }
  return bytes;
}

double MissRatio(const std::vector<Request>& requests, int64_t bytes_max) {
  L1Cache cache({.bytes_max = bytes_max});
  int64_t misses = 0;
  for (const Request& request : requests) {
    if (cache.Get("t", request.key, int64_t{0}).blob != nullptr) continue;
    ++misses;
    cache.Insert("t", request.key, MakeBlob(request.bytes), 0);
  }
  return static_cast<double>(misses) / static_cast<double>(requests.size());
}

int Run(const std::string& folder) {
  std::printf("%-14s %8s %14s %8s\n", "trace", "share", "bytes", "misses");
  int tables = 0;
  for (const char* name :
       {"cdn", "block-io", "web12", "lirs-multi2", "lirs-loop"}) {
    const std::vector<Request> requests =
        ReadTrace(absl::StrCat(folder, "/", name, ".txt.zst"));
    if (requests.empty()) continue;
    const int64_t footprint = FootprintBytes(requests);
    for (const int64_t percent : {1, 10}) {
      const int64_t bytes_max = footprint / 100 * percent;
      std::printf("%-14s %6d %% %14lld %8.4f\n", name,
                  static_cast<int>(percent), static_cast<long long>(bytes_max),
                  MissRatio(requests, bytes_max));
      ++tables;
    }
  }
  if (tables > 0) return 0;
  std::fprintf(stderr, "%s: no trace that can be read\n", folder.c_str());
  return 1;
}

}  // namespace
}  // namespace larder::cache::l1

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: l1_miss_ratio_main FOLDER\n");
    return 2;
  }
  return larder::cache::l1::Run(argv[1]);
}
