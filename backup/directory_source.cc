#include "backup/directory_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/format/checksum.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/internal/problems.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using format::ChunkType;

// Names gathered before they are sent.
constexpr size_t kNamesBytes = 64 << 10;

std::string ErrnoText(int error) {
  return std::generic_category().message(error);
}

// A descriptor, closed when destroyed.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  const int fd_;
};

int OpenAt(int directory, const char* name, int flags) {
  int fd;
  do {
    // O_NONBLOCK: a FIFO must not wait for its peer.
    fd = ::openat(directory, name,
                  O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Fills `out` from where `fd` stands; fewer bytes only at the end of the file.
// Returns: bytes read, or -1 with errno.
ssize_t ReadFully(int fd, char* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(fd, out + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

int64_t Nanos(const struct timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

bool Unchanged(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && Nanos(a.st_mtim) == Nanos(b.st_mtim) &&
         Nanos(a.st_ctim) == Nanos(b.st_ctim);
}

// The entries of a directory, sorted; 0 or errno.
int ListSorted(int fd, std::vector<std::string>* names) {
  DIR* directory = ::fdopendir(::dup(fd));
  if (directory == nullptr) return errno;
  ::rewinddir(directory);
  errno = 0;
  while (const struct dirent* entry = ::readdir(directory)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names->emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(directory);
  std::sort(names->begin(), names->end());
  return error;
}

// What a directory is, whatever its path.
using Identity = std::pair<dev_t, ino_t>;
using Identities = std::set<Identity>;

Identity IdentityOf(const struct stat& stat) {
  return {stat.st_dev, stat.st_ino};
}

// Of those that exist.
Identities IdentitiesOf(const std::vector<std::string>& paths) {
  Identities identities;
  for (const std::string& path : paths) {
    struct stat stat;
    if (::stat(path.c_str(), &stat) == 0) identities.insert(IdentityOf(stat));
  }
  return identities;
}

// Bytes of the regular files below `fd`; an estimate, hence errors are left
// out, for the walk that counts to report.
int64_t EstimateBytes(int fd, int64_t depth, const Identities& excluded) {
  std::vector<std::string> names;
  if (depth > format::kPathDepthMax || ListSorted(fd, &names) != 0) return 0;
  int64_t bytes = 0;
  for (const std::string& name : names) {
    struct stat stat;
    if (::fstatat(fd, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(stat.st_mode)) bytes += int64_t{stat.st_size};
    if (!S_ISDIR(stat.st_mode) || excluded.contains(IdentityOf(stat))) continue;
    const Descriptor child(OpenAt(fd, name.c_str(), O_DIRECTORY | O_NOFOLLOW));
    if (child.ok()) bytes += EstimateBytes(child.get(), depth + 1, excluded);
  }
  return bytes;
}

class DirectoryView : public SourceView {
 public:
  DirectoryView(std::unique_ptr<Descriptor> root,
                const DirectorySource::Options& options, Identities excluded)
      : root_(std::move(root)),
        options_(options),
        excluded_(std::move(excluded)),
        part_bytes_(static_cast<size_t>(std::clamp<int64_t>(
            options.chunk_bytes, 1, format::kFilePartBytesMax))),
        bytes_estimate_(EstimateBytes(root_->get(), 1, excluded_)) {
    info_.set_kind(format::SOURCE_KIND_DIRECTORY);
  }

  format::SourceInfo Describe(const format::SourceInfo*) const override {
    return info_;
  }
  int64_t bytes_estimate() const override { return bytes_estimate_; }
  // Files have no deltas.
  absl::Status Produce(SourceOutput* out) override;

 private:
  absl::Status WalkDirectory(int fd, const std::string& path, int64_t depth);
  absl::Status WalkEntry(int directory, const std::string& name,
                         const std::string& path, int64_t depth);
  absl::Status TakeFile(int fd, const std::string& path);
  // Adds `part`, flushing before when it would make the chunk too large.
  absl::Status AddPart(format::FilePart part);
  absl::Status FlushParts();
  absl::Status FlushNames();
  void Problem(const std::string& path, absl::string_view what) {
    backup_internal::AddProblem(
        absl::StrCat("file ", format::Printable(path), ": ", what), &totals_);
  }

  const std::unique_ptr<Descriptor> root_;
  const DirectorySource::Options options_;
  const Identities excluded_;
  const size_t part_bytes_;
  const int64_t bytes_estimate_;
  format::SourceInfo info_;

  // Of the Produce() under way.
  SourceOutput* out_ = nullptr;
  format::SourceTotals totals_;  // The same in each dump.
  format::Files files_;          // Of the chunk being filled.
  size_t files_bytes_ = 0;
  // By dump, whose chunks have numbers of their own: of those sent since the
  // last names.
  std::vector<format::Names> names_;
  size_t names_bytes_ = 0;
};

absl::Status DirectoryView::Produce(SourceOutput* out) {
  out_ = out;
  names_.resize(out->dumps().size());
  absl::Status status = WalkDirectory(root_->get(), "", 1);
  if (status.ok()) status = FlushParts();
  if (status.ok()) status = FlushNames();
  for (SourceDump* dump : out->dumps()) *dump->totals() = totals_;
  return status;
}

absl::Status DirectoryView::WalkDirectory(int fd, const std::string& path,
                                          int64_t depth) {
  std::vector<std::string> names;
  const int error = ListSorted(fd, &names);
  if (error != 0) {
    Problem(path, absl::StrCat("list: ", ErrnoText(error)));
    return absl::OkStatus();
  }
  for (const std::string& name : names) {
    const std::string child =
        path.empty() ? name : absl::StrCat(path, "/", name);
    LARDER_RETURN_IF_ERROR(WalkEntry(fd, name, child, depth));
  }
  return absl::OkStatus();
}

absl::Status DirectoryView::WalkEntry(int directory, const std::string& name,
                                      const std::string& path, int64_t depth) {
  if (const absl::Status bad = format::CheckRelativePath(path); !bad.ok()) {
    Problem(path, bad.message());
    return absl::OkStatus();
  }
  struct stat stat;
  if (::fstatat(directory, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
    Problem(path, absl::StrCat("stat: ", ErrnoText(errno)));
    return absl::OkStatus();
  }
  if (!S_ISDIR(stat.st_mode) && !S_ISREG(stat.st_mode)) {
    totals_.set_specials_ignored(totals_.specials_ignored() + 1);
    return absl::OkStatus();
  }
  if (S_ISDIR(stat.st_mode) && excluded_.contains(IdentityOf(stat))) {
    totals_.set_directories_excluded(totals_.directories_excluded() + 1);
    return absl::OkStatus();
  }
  const Descriptor fd(
      OpenAt(directory, name.c_str(),
             O_NOFOLLOW | (S_ISDIR(stat.st_mode) ? O_DIRECTORY : 0)));
  if (!fd.ok()) {
    Problem(path, absl::StrCat("open: ", ErrnoText(errno)));
    return absl::OkStatus();
  }
  return S_ISDIR(stat.st_mode) ? WalkDirectory(fd.get(), path, depth + 1)
                               : TakeFile(fd.get(), path);
}

absl::Status DirectoryView::TakeFile(int fd, const std::string& path) {
  struct stat before, after;
  if (::fstat(fd, &before) != 0 || !S_ISREG(before.st_mode)) {
    Problem(path, "is no regular file any more");
    return absl::OkStatus();
  }
  format::StreamingChecksum128 checksum;
  const uint64_t file = static_cast<uint64_t>(totals_.files_begun());
  uint64_t offset = 0;
  for (bool last = false; !last;) {
    std::string data(part_bytes_, '\0');
    const ssize_t n = ReadFully(fd, data.data(), data.size());
    const int error = errno;
    if (offset == 0 && options_.after_first_read_for_test) {
      options_.after_first_read_for_test(path);
    }
    data.resize(n < 0 ? 0 : static_cast<size_t>(n));
    last = data.size() < part_bytes_;
    const bool changed =
        last && n >= 0 &&
        (::fstat(fd, &after) != 0 || !Unchanged(before, after) ||
         offset + data.size() != static_cast<uint64_t>(before.st_size));
    format::FilePart part;
    if (n < 0 || changed) {
      Problem(path, n < 0 ? absl::StrCat("read at byte ", offset, ": ",
                                         ErrnoText(error))
                          : "changed while it was read");
      if (offset == 0) return absl::OkStatus();  // Nothing of it was sent.
      part.set_abandoned(true);
      data.clear();
    }
    checksum.Update(data);
    if (offset == 0) totals_.set_files_begun(totals_.files_begun() + 1);
    part.set_path(path);
    part.set_file(file);
    part.set_offset(offset);
    part.set_last(last && !part.abandoned());
    part.set_mode(before.st_mode & 0777);
    part.set_modified_unix_nanos(Nanos(before.st_mtim));
    if (part.last())
      part.set_checksum(format::EncodeUint128(checksum.Digest()));
    offset += data.size();
    out_->Advance(static_cast<int64_t>(data.size()));
    totals_.set_file_bytes_begun(totals_.file_bytes_begun() +
                                 static_cast<int64_t>(data.size()));
    part.set_data(std::move(data));
    const bool abandoned = part.abandoned();
    LARDER_RETURN_IF_ERROR(AddPart(std::move(part)));
    if (abandoned) return absl::OkStatus();
  }
  totals_.set_files(totals_.files() + 1);
  totals_.set_file_bytes(totals_.file_bytes() + static_cast<int64_t>(offset));
  return absl::OkStatus();
}

absl::Status DirectoryView::AddPart(format::FilePart part) {
  // Room for the fields of many small parts is what is left to
  // kDecodedBytesMax.
  constexpr size_t kFieldsBytes = 64;
  const size_t bytes = part.data().size() + part.path().size() + kFieldsBytes;
  if (files_.parts_size() == format::kPartsPerChunkMax ||
      (files_bytes_ > 0 && files_bytes_ + bytes > part_bytes_)) {
    LARDER_RETURN_IF_ERROR(FlushParts());
  }
  files_bytes_ += bytes;
  *files_.add_parts() = std::move(part);
  return absl::OkStatus();
}

absl::Status DirectoryView::FlushParts() {
  if (files_.parts_size() == 0) return absl::OkStatus();
  for (size_t i = 0; i < names_.size(); ++i) {
    format::NamesOfChunk* of = names_[i].add_chunks();
    of->set_sequence(out_->dumps()[i]->next_sequence());
    for (const format::FilePart& part : files_.parts()) {
      of->add_names(part.path());
    }
  }
  for (const format::FilePart& part : files_.parts()) {
    names_bytes_ += part.path().size();
  }
  LARDER_RETURN_IF_ERROR(
      out_->EmitToAll(ChunkType::kFiles, format::SerializeMessage(files_)));
  files_.Clear();
  files_bytes_ = 0;
  return names_bytes_ >= kNamesBytes ? FlushNames() : absl::OkStatus();
}

absl::Status DirectoryView::FlushNames() {
  if (names_bytes_ == 0) return absl::OkStatus();
  for (size_t i = 0; i < names_.size(); ++i) {
    LARDER_RETURN_IF_ERROR(
        out_->dumps()[i]
            ->Emit(ChunkType::kNames, format::SerializeMessage(names_[i]))
            .status());
    names_[i].Clear();
  }
  names_bytes_ = 0;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceView>> DirectorySource::Open(
    const SourceRequest&) {
  auto root = std::make_unique<Descriptor>(
      OpenAt(AT_FDCWD, path_.c_str(), O_DIRECTORY));
  if (!root->ok()) {
    const int error = errno;
    const std::string text =
        absl::StrCat(path_, ": open directory: ", ErrnoText(error));
    return error == ENOENT ? absl::NotFoundError(text)
                           : absl::FailedPreconditionError(text);
  }
  Identities excluded = IdentitiesOf(options_.excluded);
  struct stat stat;
  if (::fstat(root->get(), &stat) != 0) {
    return absl::InternalError(
        absl::StrCat(path_, ": stat: ", ErrnoText(errno)));
  }
  if (excluded.contains(IdentityOf(stat))) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": is an archive of this backup, or the L2 itself"));
  }
  return std::make_unique<DirectoryView>(std::move(root), options_,
                                         std::move(excluded));
}

}  // namespace larder::backup
