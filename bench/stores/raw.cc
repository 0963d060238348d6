#include "bench/stores/raw.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace larder::bench {
namespace {

class Raw : public Store {
 public:
  explicit Raw(int fd) : fd_(fd) {}
  ~Raw() override { close(fd_); }

  std::string name() const override { return "raw"; }

  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t wrote =
          pwrite(fd_, bytes.data() + done, bytes.size() - done,
                 end_ + static_cast<off_t>(done));
      if (wrote <= 0) return absl::ErrnoToStatus(errno, "raw: pwrite");
      done += static_cast<size_t>(wrote);
    }
    places_[key] = {end_, bytes.size()};
    end_ += static_cast<off_t>(bytes.size());
    return absl::OkStatus();
  }

  bool Get(absl::string_view key, Use use) override {
    const auto it = places_.find(key);
    if (it == places_.end()) return false;
    const auto [offset, size] = it->second;
    if (buffer_.size() < size) buffer_.resize(size);
    size_t done = 0;
    while (done < size) {
      const ssize_t got = pread(fd_, buffer_.data() + done, size - done,
                                offset + static_cast<off_t>(done));
      if (got <= 0) return false;
      done += static_cast<size_t>(got);
    }
    use(absl::string_view(buffer_.data(), size));
    return true;
  }

 private:
  const int fd_;
  off_t end_ = 0;
  absl::flat_hash_map<std::string, std::pair<off_t, size_t>> places_;
  std::string buffer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenRaw(const std::string& path) {
  const int fd =
      open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  return std::unique_ptr<Store>(std::make_unique<Raw>(fd));
}

}  // namespace larder::bench
