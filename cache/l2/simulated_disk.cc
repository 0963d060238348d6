#include "cache/l2/simulated_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/check.h"
#include "cache/l2/file_status.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {

using Kind = SimulatedDisk::OperationKind;

// A file or a directory. Guarded by the disk's mutex.
struct SimulatedDisk::Node {
  bool is_directory() const { return content == nullptr; }

  std::unique_ptr<SimulatedContent> content;
  // Of a directory: what the process sees, and what is on the medium.
  std::map<std::string, std::shared_ptr<Node>> entries;
  std::map<std::string, std::shared_ptr<Node>> durable_entries;
};

SimulatedDisk::SimulatedDisk() {
  MutexLock lock(&mu_);
  root_ = MakeDirectory();
}

SimulatedDisk::~SimulatedDisk() {
  // A directory may be above another one in this process, and below it on the
  // medium: without this they would keep each other alive.
  MutexLock lock(&mu_);
  for (const std::weak_ptr<Node>& weak : directories_) {
    const std::shared_ptr<Node> directory = weak.lock();
    if (directory == nullptr) continue;
    directory->entries.clear();
    directory->durable_entries.clear();
  }
}

std::shared_ptr<SimulatedDisk::Node> SimulatedDisk::MakeDirectory() {
  auto directory = std::make_shared<Node>();
  directories_.push_back(directory);
  return directory;
}

bool SimulatedDisk::IsWithin(const Node& directory, const Node* node) {
  if (&directory == node) return true;
  for (const auto& [name, child] : directory.entries) {
    if (IsWithin(*child, node)) return true;
  }
  return false;
}

// 0 or the errno, with Linux's precedence.
int SimulatedDisk::RenameError(const Place& source, const Place& target) {
  if (IsWithin(*source.node, target.directory.get())) return EINVAL;
  if (target.node == nullptr) return 0;
  if (IsWithin(*target.node, source.directory.get())) return ENOTEMPTY;
  if (source.node->is_directory() && !target.node->is_directory()) {
    return ENOTDIR;
  }
  if (!source.node->is_directory() && target.node->is_directory()) {
    return EISDIR;
  }
  return target.node->entries.empty() ? 0 : ENOTEMPTY;
}

class SimulatedDisk::HeldLock : public FileLock {
 public:
  HeldLock(SimulatedDisk* disk, uint64_t generation, std::shared_ptr<Node> node)
      : disk_(disk), generation_(generation), node_(std::move(node)) {}
  ~HeldLock() override {
    MutexLock lock(&disk_->mu_);
    if (disk_->generation_ == generation_) disk_->locked_.erase(node_.get());
  }

 private:
  SimulatedDisk* const disk_;
  const uint64_t generation_;
  const std::shared_ptr<Node> node_;
};

class SimulatedDisk::OpenFile : public File {
 public:
  // Counts itself as a viewer already.
  OpenFile(SimulatedDisk* disk, uint64_t generation, std::string path,
           const OpenOptions& options, std::shared_ptr<Node> node)
      : disk_(disk),
        generation_(generation),
        path_(std::move(path)),
        size_bytes_max_(options.size_bytes_max),
        read_only_(options.read_only),
        node_(std::move(node)),
        memory_(node_->content->memory()) {}
  ~OpenFile() override {
    MutexLock lock(&disk_->mu_);
    if (generation_ == disk_->generation_ && size_bytes_max_ > 0) {
      --disk_->viewers_[node_.get()];
    }
  }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override;
  absl::Status Sync() override;
  absl::Status Resize(uint64_t size_bytes) override;
  uint64_t Size() const override {
    MutexLock lock(&disk_->mu_);
    return node_->content->size_bytes();
  }
  absl::StatusOr<const char*> View(uint64_t offset,
                                   uint64_t length) const override;
  const std::string& path() const override { return path_; }

 private:
  absl::Status CheckAlive(absl::string_view action) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    if (generation_ == disk_->generation_) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat(path_, ": ", action, ": the process has died"));
  }
  absl::Status CheckWritable(absl::string_view action) const {
    return read_only_ ? FileError(path_, action, EBADF) : absl::OkStatus();
  }

  SimulatedDisk* const disk_;
  const uint64_t generation_;
  const std::string path_;
  const uint64_t size_bytes_max_;  // 0: no limit, and no views.
  const bool read_only_;
  const std::shared_ptr<Node> node_;
  // Keeps the views of this file readable, whatever becomes of the disk.
  const std::shared_ptr<Reservation> memory_;
};

absl::Status SimulatedDisk::OpenFile::ReadAt(uint64_t offset,
                                             absl::Span<char> out) const {
  auto fault = disk_->Begin({0, Kind::kRead, path_, offset, out.size()});
  if (!fault.ok()) return fault.status();
  MutexLock lock(&disk_->mu_);
  LARDER_RETURN_IF_ERROR(CheckAlive("read"));
  const SimulatedContent& content = *node_->content;
  LARDER_RETURN_IF_ERROR(
      CheckRange(path_, "read", offset, out.size(), content.size_bytes()));
  if (fault->kind == Fault::Kind::kFail ||
      fault->kind == Fault::Kind::kShortWrite) {
    return RangeError(path_, "read", offset, out.size(), fault->error_number);
  }
  if (!content.CanRead(offset, out.size())) {
    return RangeError(path_, "read", offset, out.size(), EIO);
  }
  content.Read(offset, out);
  return absl::OkStatus();
}

absl::Status SimulatedDisk::OpenFile::WriteAt(uint64_t offset,
                                              absl::string_view data) {
  auto fault = disk_->Begin({0, Kind::kWrite, path_, offset, data.size()});
  if (!fault.ok()) return fault.status();
  MutexLock lock(&disk_->mu_);
  LARDER_RETURN_IF_ERROR(CheckAlive("write"));
  LARDER_RETURN_IF_ERROR(CheckWritable("write"));
  return disk_->WriteLocked(path_, *node_->content, offset, data, *fault);
}

absl::Status SimulatedDisk::OpenFile::Sync() {
  auto fault = disk_->Begin({0, Kind::kSync, path_});
  if (!fault.ok()) return fault.status();
  MutexLock lock(&disk_->mu_);
  LARDER_RETURN_IF_ERROR(CheckAlive("sync"));
  switch (fault->kind) {
    case Fault::Kind::kFail:
    case Fault::Kind::kShortWrite:
      node_->content->FailSync();
      return FileError(path_, "sync", fault->error_number);
    case Fault::Kind::kLie:
      return absl::OkStatus();
    case Fault::Kind::kNone:
    case Fault::Kind::kMisdirect:
      break;
  }
  node_->content->Sync();
  return absl::OkStatus();
}

absl::Status SimulatedDisk::OpenFile::Resize(uint64_t size_bytes) {
  auto fault = disk_->Begin({0, Kind::kResize, path_, 0, size_bytes});
  if (!fault.ok()) return fault.status();
  const std::string action = absl::StrCat("resize to ", size_bytes);
  MutexLock lock(&disk_->mu_);
  LARDER_RETURN_IF_ERROR(CheckAlive(action));
  LARDER_RETURN_IF_ERROR(CheckWritable(action));
  if (size_bytes_max_ > 0 && size_bytes > size_bytes_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": ", action, ": exceeds ", size_bytes_max_));
  }
  if (fault->kind == Fault::Kind::kFail ||
      fault->kind == Fault::Kind::kShortWrite) {
    return FileError(path_, action, fault->error_number);
  }
  LARDER_RETURN_IF_ERROR(disk_->Reserve(path_, *node_, size_bytes));
  node_->content->Resize(size_bytes);
  return absl::OkStatus();
}

absl::StatusOr<const char*> SimulatedDisk::OpenFile::View(
    uint64_t offset, uint64_t length) const {
  MutexLock lock(&disk_->mu_);
  LARDER_RETURN_IF_ERROR(CheckAlive("view"));
  const uint64_t view_bytes =
      size_bytes_max_ == 0 ? 0 : node_->content->size_bytes();
  LARDER_RETURN_IF_ERROR(CheckRange(path_, "view", offset, length, view_bytes));
  return memory_->data() + offset;
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::Open(
    const std::string& path, const OpenOptions& options) {
  LARDER_RETURN_IF_ERROR(BeginPath(Kind::kOpen, path, "open").status());
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node,
                          FindFile(path, "open", options.create));
  if (options.size_bytes_max > 0) {
    LARDER_RETURN_IF_ERROR(Reserve(path, *node, options.size_bytes_max));
    ++viewers_[node.get()];
  }
  return std::make_unique<OpenFile>(this, generation_, path, options, node);
}

absl::StatusOr<std::unique_ptr<FileLock>> SimulatedDisk::Lock(
    const std::string& path) {
  LARDER_RETURN_IF_ERROR(BeginPath(Kind::kLock, path, "lock").status());
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(std::shared_ptr<Node> node,
                          FindFile(path, "open", true));
  if (!locked_.insert(node.get()).second) {
    return FileError(path, "lock", EWOULDBLOCK);
  }
  return std::make_unique<HeldLock>(this, generation_, std::move(node));
}

absl::Status SimulatedDisk::CreateDirectories(const std::string& path) {
  constexpr absl::string_view kAction = "create directories";
  LARDER_RETURN_IF_ERROR(
      BeginPath(Kind::kCreateDirectories, path, kAction).status());
  MutexLock lock(&mu_);
  std::string prefix;
  for (const absl::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&prefix, "/", name);
    const Place place = Find(prefix);
    if (place.error != 0) return FileError(path, kAction, place.error);
    if (place.node == nullptr) {
      Apply({{place.directory, place.name, MakeDirectory()}});
    } else if (!place.node->is_directory()) {
      return FileError(path, kAction, ENOTDIR);
    }
  }
  return absl::OkStatus();
}

absl::Status SimulatedDisk::SyncDirectory(const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(const Fault fault, BeginPath(Kind::kSyncDirectory,
                                                       path, "sync directory"));
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Node> directory,
                          FindDirectory(path, "open directory"));
  if (fault.kind != Fault::Kind::kLie) MakeDurable(directory.get());
  return absl::OkStatus();
}

absl::Status SimulatedDisk::Remove(const std::string& path) {
  LARDER_RETURN_IF_ERROR(BeginPath(Kind::kRemove, path, "remove").status());
  MutexLock lock(&mu_);
  const Place place = Find(path);
  if (place.error != 0) return FileError(path, "remove", place.error);
  if (place.node == nullptr) return FileError(path, "remove", ENOENT);
  LARDER_CHECK(place.directory != nullptr);
  if (!place.node->entries.empty()) return FileError(path, "remove", ENOTEMPTY);
  Apply({{place.directory, place.name, nullptr}});
  return absl::OkStatus();
}

absl::Status SimulatedDisk::RemoveTree(const std::string& path) {
  const absl::Status removed = Remove(path);
  if (!absl::IsFailedPrecondition(removed)) return removed;
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(path));
  for (const std::string& name : names) {
    LARDER_RETURN_IF_ERROR(RemoveTree(absl::StrCat(path, "/", name)));
  }
  return Remove(path);
}

absl::Status SimulatedDisk::Rename(const std::string& from,
                                   const std::string& to) {
  const std::string action = absl::StrCat("rename to ", to);
  LARDER_RETURN_IF_ERROR(BeginPath(Kind::kRename, from, action).status());
  MutexLock lock(&mu_);
  const Place source = Find(from);
  if (source.error != 0) return FileError(from, action, source.error);
  const Place target = Find(to);
  if (target.error != 0) return FileError(from, action, target.error);
  LARDER_CHECK(source.directory != nullptr && target.directory != nullptr);
  if (source.node == nullptr) return FileError(from, action, ENOENT);
  if (target.node == source.node) return absl::OkStatus();
  if (const int error = RenameError(source, target); error != 0) {
    return FileError(from, action, error);
  }
  Apply({{source.directory, source.name, nullptr},
         {target.directory, target.name, source.node}});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimulatedDisk::List(
    const std::string& path) {
  LARDER_RETURN_IF_ERROR(BeginPath(Kind::kList, path, "list").status());
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Node> directory,
                          FindDirectory(path, "list"));
  std::vector<std::string> names;
  for (const auto& [name, node] : directory->entries) names.push_back(name);
  return names;
}

bool SimulatedDisk::Exists(const std::string& path) {
  MutexLock lock(&mu_);
  return Find(path).node != nullptr;
}

void SimulatedDisk::SetHook(Hook hook) {
  MutexLock lock(&mu_);
  hook_ = std::move(hook);
}

void SimulatedDisk::SetFaultScript(FaultScript script) {
  MutexLock lock(&mu_);
  script_ = std::move(script);
}

void SimulatedDisk::InjectFault(uint64_t operation_index, Fault fault) {
  MutexLock lock(&mu_);
  faults_[operation_index] = fault;
}

void SimulatedDisk::SetCapacityBytes(uint64_t capacity_bytes) {
  MutexLock lock(&mu_);
  capacity_bytes_ = capacity_bytes;
}

absl::Status SimulatedDisk::FlipBit(const std::string& path, uint64_t offset,
                                    int bit) {
  LARDER_CHECK(bit >= 0 && bit < 8);
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node,
                          FindByte(path, "flip bit in", offset));
  node->content->FlipBit(offset, bit);
  return absl::OkStatus();
}

absl::Status SimulatedDisk::LosePage(const std::string& path, uint64_t offset) {
  MutexLock lock(&mu_);
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node,
                          FindByte(path, "lose a page of", offset));
  node->content->LosePage(offset);
  return absl::OkStatus();
}

uint64_t SimulatedDisk::operation_count() const {
  MutexLock lock(&mu_);
  return operation_count_;
}

void SimulatedDisk::KillProcess() {
  MutexLock lock(&mu_);
  EndProcess();
}

void SimulatedDisk::PowerCut(uint64_t seed) {
  std::mt19937_64 random(seed);
  MutexLock lock(&mu_);
  EndProcess();
  // A lost change takes the later ones of the same names with it.
  std::set<std::pair<const Node*, std::string>> lost;
  for (const Change& change : changes_) {
    bool survives = random() % 2 == 0;
    for (const Edit& edit : change) {
      if (lost.contains({edit.directory.get(), edit.name})) survives = false;
    }
    for (const Edit& edit : change) {
      if (survives) {
        edit.directory->durable_entries[edit.name] = edit.target;
      } else {
        lost.insert({edit.directory.get(), edit.name});
      }
    }
  }
  changes_.clear();
  // A node that two entries reach after a half-synced rename is cut once.
  std::set<const Node*> cut;
  std::vector<Node*> pending = {root_.get()};
  while (!pending.empty()) {
    Node* const node = pending.back();
    pending.pop_back();
    if (!cut.insert(node).second) continue;
    if (!node->is_directory()) {
      node->content->PowerCut(random);
      continue;
    }
    std::erase_if(node->durable_entries,
                  [](const auto& entry) { return entry.second == nullptr; });
    node->entries = node->durable_entries;
    for (const auto& [name, child] : node->entries) {
      pending.push_back(child.get());
    }
  }
}

absl::StatusOr<SimulatedDisk::Fault> SimulatedDisk::Begin(Operation operation) {
  Hook hook;
  FaultScript script;
  Fault fault;
  {
    MutexLock lock(&mu_);
    operation.index = operation_count_++;
    hook = hook_;
    script = script_;
    if (const auto it = faults_.find(operation.index); it != faults_.end()) {
      fault = it->second;
      script = nullptr;
    }
  }
  if (hook) LARDER_RETURN_IF_ERROR(hook(operation));
  if (script) fault = script(operation);
  return fault;
}

absl::StatusOr<SimulatedDisk::Fault> SimulatedDisk::BeginPath(
    Kind kind, const std::string& path, absl::string_view action) {
  auto fault = Begin({0, kind, path});
  if (fault.ok() && (fault->kind == Fault::Kind::kFail ||
                     fault->kind == Fault::Kind::kShortWrite)) {
    return FileError(path, action, fault->error_number);
  }
  return fault;
}

SimulatedDisk::Place SimulatedDisk::Find(const std::string& path) const {
  Place place{nullptr, "", root_, 0};
  for (const absl::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    LARDER_CHECK(name != "..");
    if (name == ".") continue;
    if (place.node == nullptr || !place.node->is_directory()) {
      place.error = place.node == nullptr ? ENOENT : ENOTDIR;
      place.node = nullptr;
      return place;
    }
    place.directory = std::move(place.node);
    place.name = std::string(name);
    const auto it = place.directory->entries.find(place.name);
    place.node = it == place.directory->entries.end() ? nullptr : it->second;
  }
  return place;
}

absl::StatusOr<std::shared_ptr<SimulatedDisk::Node>>
SimulatedDisk::FindDirectory(const std::string& path,
                             absl::string_view action) const {
  Place place = Find(path);
  if (place.error != 0) return FileError(path, action, place.error);
  if (place.node == nullptr) return FileError(path, action, ENOENT);
  if (!place.node->is_directory()) return FileError(path, action, ENOTDIR);
  return std::move(place.node);
}

absl::StatusOr<std::shared_ptr<SimulatedDisk::Node>> SimulatedDisk::FindFile(
    const std::string& path, absl::string_view action, bool create) {
  Place place = Find(path);
  if (place.error != 0) return FileError(path, action, place.error);
  if (place.node == nullptr) {
    if (!create) return FileError(path, action, ENOENT);
    place.node = std::make_shared<Node>();
    place.node->content = std::make_unique<SimulatedContent>(&allocated_bytes_);
    Apply({{place.directory, place.name, place.node}});
  }
  if (place.node->is_directory()) return FileError(path, action, EISDIR);
  return std::move(place.node);
}

absl::StatusOr<std::shared_ptr<SimulatedDisk::Node>> SimulatedDisk::FindByte(
    const std::string& path, absl::string_view action, uint64_t offset) {
  LARDER_ASSIGN_OR_RETURN(std::shared_ptr<Node> node,
                          FindFile(path, action, false));
  LARDER_RETURN_IF_ERROR(
      CheckRange(path, action, offset, 1, node->content->size_bytes()));
  return node;
}

absl::Status SimulatedDisk::Reserve(const std::string& path, Node& node,
                                    uint64_t bytes) {
  SimulatedContent& content = *node.content;
  if (viewers_[&node] > 0 && bytes > content.memory()->bytes()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": reserve ", bytes, " bytes: open with views of at most ",
        content.memory()->bytes()));
  }
  content.Reserve(bytes);
  return absl::OkStatus();
}

absl::Status SimulatedDisk::WriteLocked(const std::string& path,
                                        SimulatedContent& content,
                                        uint64_t offset, absl::string_view data,
                                        const Fault& fault) {
  const uint64_t size_bytes = content.size_bytes();
  LARDER_RETURN_IF_ERROR(
      CheckRange(path, "write", offset, data.size(), size_bytes));
  uint64_t length = data.size();
  uint64_t target = offset;
  int error = 0;
  switch (fault.kind) {
    case Fault::Kind::kNone:
      break;
    case Fault::Kind::kFail:
      return RangeError(path, "write", offset, length, fault.error_number);
    case Fault::Kind::kShortWrite:
      length = std::min(length, fault.prefix_bytes);
      error = fault.error_number;
      break;
    case Fault::Kind::kMisdirect:
      target = fault.offset;
      if (!CheckRange(path, "write", target, length, size_bytes).ok()) {
        return absl::OkStatus();
      }
      break;
    case Fault::Kind::kLie:
      return absl::OkStatus();
  }
  if (!content.CanWrite(target, length)) {
    return RangeError(path, "write", target, length, EIO);
  }
  const uint64_t allocated = allocated_bytes_;
  const uint64_t fitting = content.WritablePrefix(
      target, length, capacity_bytes_ - std::min(capacity_bytes_, allocated));
  if (fitting < length) error = ENOSPC;
  content.Write(target, data.substr(0, fitting));
  if (error == 0) return absl::OkStatus();
  return RangeError(path, "write", offset, data.size(), error);
}

void SimulatedDisk::Apply(Change change) {
  for (const Edit& edit : change) {
    if (edit.target == nullptr) {
      edit.directory->entries.erase(edit.name);
    } else {
      edit.directory->entries[edit.name] = edit.target;
    }
  }
  changes_.push_back(std::move(change));
}

void SimulatedDisk::MakeDurable(const Node* directory) {
  // A rename out of or into another directory drags along what that one's
  // entry was before it: hence from the newest change back.
  std::set<std::pair<const Node*, std::string>> dragged;
  std::vector<bool> chosen(changes_.size());
  for (size_t i = changes_.size(); i-- > 0;) {
    for (const Edit& edit : changes_[i]) {
      if (edit.directory.get() == directory ||
          dragged.contains({edit.directory.get(), edit.name})) {
        chosen[i] = true;
      }
    }
    if (!chosen[i]) continue;
    for (const Edit& edit : changes_[i]) {
      dragged.insert({edit.directory.get(), edit.name});
    }
  }
  std::vector<Change> remaining;
  for (size_t i = 0; i < changes_.size(); ++i) {
    if (!chosen[i]) {
      remaining.push_back(std::move(changes_[i]));
      continue;
    }
    for (const Edit& edit : changes_[i]) {
      auto& entries = edit.directory->durable_entries;
      if (edit.target == nullptr) {
        entries.erase(edit.name);
      } else {
        entries[edit.name] = edit.target;
      }
    }
  }
  changes_ = std::move(remaining);
}

void SimulatedDisk::EndProcess() {
  ++generation_;
  locked_.clear();
  viewers_.clear();
}

}  // namespace larder::cache::l2
