#include "bench/setting.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace larder::bench {

int64_t Setting::Scaled(int64_t full, int64_t least) const {
  return std::max(least,
                  static_cast<int64_t>(static_cast<double>(full) * scale));
}

bool Setting::Runs(absl::string_view store) const {
  return peers.empty() || store == "larder" ||
         std::find(peers.begin(), peers.end(), store) != peers.end();
}

absl::StatusOr<Scratch> Scratch::Make(const Setting& setting,
                                      absl::string_view name) {
  Scratch scratch(absl::StrCat(setting.dir, "/", name));
  std::error_code error;
  std::filesystem::remove_all(scratch.path_, error);
  std::filesystem::create_directories(scratch.path_, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(scratch.path_, ": ", error.message()));
  }
  return scratch;
}

Scratch::Scratch(Scratch&& other) noexcept
    : path_(std::exchange(other.path_, std::string())) {}

Scratch::~Scratch() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string Scratch::Sub(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

int64_t DiskBytes(const std::string& dir) {
  int64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(dir, error), end;
       !error && it != end; it.increment(error)) {
    struct stat s;
    if (stat(it->path().c_str(), &s) != 0 || !S_ISREG(s.st_mode)) continue;
    bytes += std::min<int64_t>(s.st_blocks * 512, s.st_size);
  }
  return bytes;
}

}  // namespace larder::bench
