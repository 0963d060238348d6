// A lazy restore that goes on from any files: it refuses them, or serves
// nothing but what the snapshot has.
//
// Input: what is done (u8), then files, each behind its size (u16). Bits 0 to
// 2: that of kNames is the input's, in their order; else it is as it was left.
// Bit 6: the restore goes on, rather than the files being read alone: that
// takes a hundred times as long. Bit 7: the input's files are as they are; else
// they get their checksum.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "backup/internal/hydration_files.h"
#include "backup/internal/invalidation_set.h"
#include "backup/lazy_restore.h"
#include "backup/lazy_restore_fixture.h"
#include "cache/check.h"
#include "cache/hydration.h"
#include "cache/l2/simulated_disk.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/fuzz/input.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;

constexpr char kL2[] = "/l2";
constexpr char kArchive[] = "/archive";
constexpr const char* kNames[] = {"hydrating.state",
                                  "hydrating.invalidations-0", "hydrating"};
constexpr uint8_t kGoOn = 1 << 6;
constexpr uint8_t kNotMended = 1 << 7;
using FilesByName = std::map<std::string, std::string>;

std::string Path(absl::string_view name) {
  return absl::StrCat(kL2, "/", name);
}

std::string Read(SimulatedDisk* disk, absl::string_view name) {
  const auto file = disk->Open(Path(name), {});
  LARDER_CHECK(file.ok());
  std::string bytes((*file)->Size(), '\0');
  LARDER_CHECK((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
  return bytes;
}

// Leaves out what is zero anyway, as most of an L2 is.
void Write(SimulatedDisk* disk, absl::string_view name,
           absl::string_view bytes) {
  constexpr size_t kBlock = 4096;
  static const std::string* const zeros = new std::string(kBlock, '\0');
  const auto file = disk->Open(Path(name), {.create = true});
  LARDER_CHECK(file.ok() && (*file)->Resize(bytes.size()).ok());
  for (size_t at = 0; at < bytes.size(); at += kBlock) {
    const absl::string_view block = bytes.substr(at, kBlock);
    if (block == *zeros) continue;
    LARDER_CHECK((*file)->WriteAt(at, block).ok());
  }
}

std::string Take(absl::string_view* input) {
  if (input->size() < 2) return "";
  const size_t size = format::LoadFixed<uint16_t>(input->data());
  input->remove_prefix(2);
  const std::string taken(input->substr(0, size));
  input->remove_prefix(taken.size());
  return taken;
}

// A restore that was left when some of it was there.
class Hydrating {
 public:
  Hydrating() {
    auto cache = fixture_.OpenCache("/primary");
    for (int i = 0; i < 40; ++i) {
      fixture_.Put(cache.get(), i % 2 == 0 ? "even" : "odd",
                   absl::StrCat("key", i),
                   std::string(static_cast<size_t>(50 * i), 'x'));
    }
    LARDER_CHECK(cache->InvalidatePrefix("odd", "none").ok());
    fixture_.Backup(cache.get(), {kArchive});
    fixture_.Put(cache.get(), "even", "key2", "of the delta");
    fixture_.Backup(cache.get(), {kArchive});
    const auto lazy = fixture_.Open(kL2, {kArchive});
    for (int i = 0; i < 12; ++i) LARDER_CHECK(lazy->Hydrate(1).ok());
    LARDER_CHECK(lazy->Checkpoint().ok());
    const auto names = fixture_.disk.List(kL2);
    LARDER_CHECK(names.ok());
    for (const std::string& name : *names) {
      left_[name] = Read(&fixture_.disk, name);
    }
  }

  void Check(absl::string_view input) {
    const auto what = static_cast<uint8_t>(input[0]);
    input.remove_prefix(1);
    FilesByName files = left_;
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if ((what >> i & 1) == 0) continue;
      std::string& file = files[kNames[i]];
      file = Take(&input);
      if ((what & kNotMended) == 0) {
        format::AppendFixed<uint64_t>(format::Checksum64(file), &file);
      }
    }
    if ((what & kGoOn) == 0) return ReadFiles(files);
    SimulatedDisk& disk = fixture_.disk;
    LARDER_CHECK(disk.RemoveTree(kL2).ok());
    LARDER_CHECK(disk.CreateDirectories(kL2).ok());
    for (const auto& [name, bytes] : files) Write(&disk, name, bytes);
    const auto opened = fixture_.TryOpen(kL2, {kArchive});
    if (opened.ok()) return Serve(opened->get());
    CheckRefusal(opened.status());
  }

 private:
  static void CheckRefusal(const absl::Status& status) {
    LARDER_CHECK(!absl::IsInternal(status) && !absl::IsUnknown(status));
  }
  static void ReadFiles(const FilesByName& files) {
    SimulatedDisk disk;
    LARDER_CHECK(disk.CreateDirectories(kL2).ok());
    for (const char* name : kNames) Write(&disk, name, files.at(name));
    const auto floor = cache::ReadHydration(&disk, kL2);
    if (!floor.ok()) CheckRefusal(floor.status());
    const auto state = backup_internal::ReadHydrationState(&disk, kL2);
    if (!state.ok()) CheckRefusal(state.status());
    backup_internal::InvalidationSet set;
    const absl::Status read = backup_internal::ReadHydrationInvalidations(
        &disk, kL2, /*parts=*/1, &set);
    if (!read.ok()) return CheckRefusal(read);
    // What was read is written, and read, as the same.
    const auto parts =
        backup_internal::WriteHydrationInvalidations(&disk, kL2, set);
    LARDER_CHECK(parts.ok());
    backup_internal::InvalidationSet again;
    LARDER_CHECK(
        backup_internal::ReadHydrationInvalidations(&disk, kL2, *parts, &again)
            .ok());
    LARDER_CHECK(again.newest() == set.newest());
    LARDER_CHECK(again.Namespaces().size() == set.Namespaces().size());
    LARDER_CHECK(again.Tombstones().size() == set.Tombstones().size());
  }
  void Serve(LazyRestore* lazy) {
    for (int i = 0; i < 5; ++i) {
      const auto done = lazy->Hydrate(1000);
      if (!done.ok() || *done) break;
    }
    for (const auto& [key, bytes] : fixture_.model) {
      const auto hit = lazy->Get(key.first, key.second);
      if (hit.has_value()) LARDER_CHECK(hit->bytes() == bytes);
    }
    lazy->Checkpoint().IgnoreError();
    LARDER_CHECK(lazy->Report().records_added >= 0);
  }

  LazyRestoreFixture fixture_;
  FilesByName left_;
};

}  // namespace
}  // namespace larder::backup

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It logs each string that is not UTF-8.
  static const auto unused = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(unused);
  static auto* const hydrating = new larder::backup::Hydrating();
  if (size > 0) hydrating->Check(larder::tests::Input(data, size));
  return 0;
}
