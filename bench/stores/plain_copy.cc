#include "bench/stores/plain_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr int64_t kFileBytes = 32 << 20;
constexpr size_t kCopyBytes = 128 << 10;  // What cp of coreutils 9.1 takes.

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Copies up to kCopyBytes. Returns: how many bytes; negative: errno.
ssize_t CopySome(int in, int out, std::vector<char>* buffer) {
  const ssize_t got = read(in, buffer->data(), buffer->size());
  for (ssize_t done = 0; done < got;) {
    const ssize_t n =
        write(out, buffer->data() + done, static_cast<size_t>(got - done));
    if (n < 0) return n;
    done += n;
  }
  return got;
}

absl::Status CopyFile(const std::string& from, const std::string& to,
                      CopyBy by) {
  const Descriptor in(from, O_RDONLY);
  const Descriptor out(to, O_WRONLY | O_CREAT | O_EXCL);
  std::vector<char> buffer(kCopyBytes);
  ssize_t copied;
  do {
    copied = by == CopyBy::kReadAndWrite
                 ? CopySome(in.get(), out.get(), &buffer)
                 : copy_file_range(in.get(), nullptr, out.get(), nullptr,
                                   static_cast<size_t>(kFileBytes), 0);
  } while (copied > 0);
  return copied < 0 ? absl::ErrnoToStatus(errno, to) : absl::OkStatus();
}

absl::Status MakeDirectory(const std::string& dir) {
  return mkdir(dir.c_str(), 0700) == 0 ? absl::OkStatus()
                                       : absl::ErrnoToStatus(errno, dir);
}

}  // namespace

absl::Status FillPlainFiles(
    const std::string& dir, int64_t count,
    absl::FunctionRef<absl::string_view(int64_t)> value_of) {
  LARDER_RETURN_IF_ERROR(MakeDirectory(dir));
  std::ofstream file;
  int64_t room = 0;
  int files = 0;
  for (int64_t i = 0; i < count; ++i) {
    const absl::string_view value = value_of(i);
    if (room <= 0) {
      file.close();
      file.open(absl::StrCat(dir, "/", files++), std::ios::binary);
      room = kFileBytes;
    }
    file.write(value.data(), static_cast<std::streamsize>(value.size()));
    room -= static_cast<int64_t>(value.size());
  }
  file.close();
  return file.good() ? absl::OkStatus()
                     : absl::UnavailableError(absl::StrCat(dir, ": write"));
}

absl::Status CopyPlainFiles(const std::string& from, const std::string& to,
                            CopyBy by) {
  LARDER_RETURN_IF_ERROR(MakeDirectory(to));
  std::error_code error;
  for (std::filesystem::directory_iterator it(from, error), end;
       !error && it != end; it.increment(error)) {
    LARDER_RETURN_IF_ERROR(CopyFile(
        it->path(), absl::StrCat(to, "/", it->path().filename().string()), by));
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(from, ": ", error.message()));
}

}  // namespace larder::bench
