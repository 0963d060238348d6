#include "cache/l2/simulated_disk.h"

#include <stdlib.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

using Disk = SimulatedDisk;
constexpr uint64_t kSector = SimulatedContent::kSectorBytes;
constexpr int kSeeds = 64;  // Enough to see both sides of every coin.

std::unique_ptr<File> Open(FileSystem& disk, const std::string& path,
                           uint64_t size_bytes) {
  auto file = disk.Open(path, {true, 1 << 20});
  EXPECT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->Resize(size_bytes).ok());
  return *std::move(file);
}

std::string ReadAll(const File& file) {
  std::string out(file.Size(), '?');
  const absl::Status status = file.ReadAt(0, absl::MakeSpan(out));
  return status.ok() ? out : std::string(status.message());
}

// The content of `path`, or the error.
std::string ReadPath(FileSystem& disk, const std::string& path) {
  auto file = disk.Open(path, {});
  if (!file.ok()) return std::string(file.status().message());
  return ReadAll(**file);
}

// One letter for each sector, '.' for zeros.
std::string Letters(absl::string_view bytes) {
  std::string letters;
  for (uint64_t i = 0; i < bytes.size(); i += kSector) {
    letters += bytes[i] == '\0' ? '.' : bytes[i];
    for (const char byte : bytes.substr(i, kSector)) EXPECT_EQ(byte, bytes[i]);
  }
  return letters;
}

std::string Sectors(absl::string_view letters) {
  std::string bytes;
  for (const char letter : letters) bytes.append(kSector, letter);
  return bytes;
}

// Everything that power cuts leave of what `prepare` does, as Letters() of
// "/f".
template <typename Prepare>
std::set<std::string> Survivors(Prepare prepare) {
  std::set<std::string> survivors;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Disk disk;
    prepare(disk);
    disk.PowerCut(seed);
    survivors.insert(Letters(ReadPath(disk, "/f")));
  }
  return survivors;
}

TEST(SimulatedDiskTest, SyncedDataSurvivesAPowerCut) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", 2 * kSector);
    EXPECT_TRUE(file->WriteAt(0, Sectors("ab")).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
  });
  EXPECT_EQ(survivors, std::set<std::string>{"ab"});
}

TEST(SimulatedDiskTest, UnsyncedSectorsAreOldOrNewEach) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", 2 * kSector);
    EXPECT_TRUE(file->WriteAt(0, Sectors("ab")).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
    EXPECT_TRUE(file->WriteAt(0, Sectors("XY")).ok());
  });
  EXPECT_EQ(survivors, (std::set<std::string>{"ab", "aY", "Xb", "XY"}));
}

TEST(SimulatedDiskTest, AnyStateOfASectorMaySurvive) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", kSector);
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
    for (const char* state : {"a", "b", "c"}) {
      EXPECT_TRUE(file->WriteAt(0, Sectors(state)).ok());
    }
  });
  EXPECT_EQ(survivors, (std::set<std::string>{".", "a", "b", "c"}));
}

TEST(SimulatedDiskTest, UnsyncedSizesAreOldOrNew) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", 3 * kSector);
    EXPECT_TRUE(file->WriteAt(0, Sectors("abc")).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
    EXPECT_TRUE(file->Resize(kSector).ok());
    EXPECT_TRUE(file->Resize(2 * kSector).ok());
    EXPECT_EQ(Letters(ReadAll(*file)), "a.");
  });
  EXPECT_EQ(survivors, (std::set<std::string>{"abc", "ab.", "a.c", "a..", "a",
                                              "ab", "a."}));
}

TEST(SimulatedDiskTest, SurvivorsAreDurableAndDrawnByTheSeed) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    std::string first;
    for (int round = 0; round < 2; ++round) {
      Disk disk;
      auto file = Open(disk, "/f", 8 * kSector);
      EXPECT_TRUE(file->Sync().ok());
      EXPECT_TRUE(disk.SyncDirectory("/").ok());
      EXPECT_TRUE(file->WriteAt(0, Sectors("abcdefgh")).ok());
      disk.PowerCut(seed);
      const std::string left = ReadPath(disk, "/f");
      disk.PowerCut(seed + 1);
      EXPECT_EQ(ReadPath(disk, "/f"), left);
      if (round == 1) {
        EXPECT_EQ(left, first);
      }
      first = left;
    }
  }
}

TEST(SimulatedDiskTest, EntriesAreDurableAfterSyncDirectoryOnly) {
  std::set<std::string> seen;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Disk disk;
    ASSERT_TRUE(disk.CreateDirectories("/d/e").ok());
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE(disk.SyncDirectory("/d").ok());
    Open(disk, "/d/kept", 1);
    Open(disk, "/d/gone", 1);
    ASSERT_TRUE(disk.SyncDirectory("/d").ok());
    Open(disk, "/d/new", 1);
    ASSERT_TRUE(disk.Remove("/d/gone").ok());
    // Syncing a file, or another directory, does not help the entry.
    EXPECT_TRUE(Open(disk, "/d/new", 1)->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/d/e").ok());
    disk.PowerCut(seed);
    seen.insert(absl::StrJoin(disk.List("/d").value(), " "));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"e kept", "e kept new", "e gone kept",
                                         "e gone kept new"}));
}

TEST(SimulatedDiskTest, RenameIsAtomic) {
  std::set<std::string> seen;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Disk disk;
    for (const char* name : {"/f", "/tmp"}) {
      auto file = Open(disk, name, kSector);
      ASSERT_TRUE(file->WriteAt(0, Sectors(name + 1).substr(0, kSector)).ok());
      ASSERT_TRUE(file->Sync().ok());
    }
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE(disk.Rename("/tmp", "/f").ok());
    EXPECT_EQ(Letters(ReadPath(disk, "/f")), "t");
    disk.PowerCut(seed);
    seen.insert(absl::StrCat(absl::StrJoin(disk.List("/").value(), " "), ":",
                             Letters(ReadPath(disk, "/f"))));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"f tmp:f", "f:t"}));
}

// A change that depends on a lost one is lost too; syncing either directory
// of a rename keeps all of it.
TEST(SimulatedDiskTest, ChangesOfOneNameStayInOrder) {
  std::set<std::string> seen;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Disk disk;
    ASSERT_TRUE(disk.CreateDirectories("/a").ok());
    ASSERT_TRUE(disk.CreateDirectories("/b").ok());
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    Open(disk, "/a/x", 1);
    ASSERT_TRUE(disk.Rename("/a/x", "/a/y").ok());
    ASSERT_TRUE(disk.Rename("/a/y", "/b/z").ok());
    if (seed % 2 == 0) {
      ASSERT_TRUE(disk.SyncDirectory("/b").ok());
    }
    disk.PowerCut(seed);
    const std::string left =
        absl::StrCat(absl::StrJoin(disk.List("/a").value(), " "), "|",
                     absl::StrJoin(disk.List("/b").value(), " "));
    if (seed % 2 == 0) {
      EXPECT_EQ(left, "|z");
    }
    seen.insert(left);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"|", "x|", "y|", "|z"}));
}

TEST(SimulatedDiskTest, KilledProcessLosesHandlesAndLocksButNoBytes) {
  Disk disk;
  auto file = Open(disk, "/f", kSector);
  ASSERT_TRUE(file->WriteAt(0, Sectors("a")).ok());
  const char* view = file->View(0, kSector).value();
  auto lock = disk.Lock("/lock").value();
  EXPECT_EQ(disk.Lock("/lock").status().code(), absl::StatusCode::kUnavailable);
  disk.KillProcess();

  EXPECT_EQ(file->WriteAt(0, "x").message(), "/f: write: the process has died");
  EXPECT_EQ(file->Sync().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(file->Resize(1).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(file->View(0, 1).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Letters(absl::string_view(view, kSector)), "a");
  auto second = disk.Lock("/lock");
  EXPECT_TRUE(second.ok());
  lock.reset();  // Must not release the lock of the next life.
  EXPECT_FALSE(disk.Lock("/lock").ok());
  EXPECT_EQ(Letters(ReadPath(disk, "/f")), "a");
}

TEST(SimulatedDiskTest, ViewsOutliveAPowerCut) {
  Disk disk;
  auto file = Open(disk, "/f", kSector);
  ASSERT_TRUE(disk.SyncDirectory("/").ok());
  ASSERT_TRUE(file->WriteAt(0, Sectors("a")).ok());
  const char* view = file->View(0, kSector).value();
  disk.PowerCut(1);
  auto reopened = Open(disk, "/f", kSector);
  ASSERT_TRUE(reopened->WriteAt(0, Sectors("b")).ok());
  EXPECT_EQ(Letters(absl::string_view(view, kSector)), "a");
  EXPECT_EQ(reopened->View(0, 1).value()[0], 'b');
}

TEST(SimulatedDiskTest, InjectedFaultsHitTheirOperation) {
  Disk disk;
  auto file = Open(disk, "/f", 4 * kSector);
  disk.InjectFault(disk.operation_count() + 1, Disk::Fault::Fail(EIO));
  disk.InjectFault(disk.operation_count() + 2, Disk::Fault::Fail(ENOSPC));
  EXPECT_TRUE(file->WriteAt(0, Sectors("a")).ok());
  const absl::Status write = file->WriteAt(kSector, Sectors("bc"));
  EXPECT_EQ(write.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(write.message(),
            "/f: write 1024 bytes at offset 512: Input/output error");
  EXPECT_EQ(disk.CreateDirectories("/d").message(),
            "/d: create directories: No space left on device");
  EXPECT_FALSE(disk.Exists("/d"));
  EXPECT_EQ(Letters(ReadAll(*file)), "a...");
}

TEST(SimulatedDiskTest, WriteFaults) {
  Disk disk;
  auto file = Open(disk, "/f", 6 * kSector);
  uint64_t next = disk.operation_count();
  disk.InjectFault(next++, Disk::Fault::ShortWrite(kSector, ENOSPC));
  disk.InjectFault(next++, Disk::Fault::Misdirect(4 * kSector));
  disk.InjectFault(next++, Disk::Fault::Misdirect(5 * kSector + 1));
  disk.InjectFault(next++, Disk::Fault::Lie());
  EXPECT_EQ(file->WriteAt(0, Sectors("ab")).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(file->WriteAt(2 * kSector, Sectors("c")).ok());
  EXPECT_TRUE(file->WriteAt(2 * kSector, Sectors("d")).ok());
  EXPECT_TRUE(file->WriteAt(2 * kSector, Sectors("e")).ok());
  EXPECT_EQ(Letters(ReadAll(*file)), "a...c.");
}

TEST(SimulatedDiskTest, FailedSyncAbandonsWhatWasUnsynced) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", 2 * kSector);
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
    EXPECT_TRUE(file->WriteAt(0, Sectors("ab")).ok());
    disk.InjectFault(disk.operation_count(), Disk::Fault::Fail(EIO));
    EXPECT_EQ(file->Sync().message(), "/f: sync: Input/output error");
    EXPECT_TRUE(file->WriteAt(kSector, Sectors("c")).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_EQ(Letters(ReadAll(*file)), "ac");
  });
  EXPECT_EQ(survivors, (std::set<std::string>{".c", "ac"}));
}

TEST(SimulatedDiskTest, LyingSyncsDropNothingButPromiseTooMuch) {
  const auto survivors = Survivors([](Disk& disk) {
    auto file = Open(disk, "/f", kSector);
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk.SyncDirectory("/").ok());
    EXPECT_TRUE(file->WriteAt(0, Sectors("a")).ok());
    disk.InjectFault(disk.operation_count(), Disk::Fault::Lie());
    EXPECT_TRUE(file->Sync().ok());
  });
  EXPECT_EQ(survivors, (std::set<std::string>{".", "a"}));
}

TEST(SimulatedDiskTest, HookSeesEveryOperationAndMayRefuseIt) {
  Disk disk;
  std::vector<Disk::Operation> seen;
  disk.SetHook([&](const Disk::Operation& operation) {
    seen.push_back(operation);
    if (operation.kind == Disk::OperationKind::kSync) {
      return absl::UnavailableError("not now");
    }
    return absl::OkStatus();
  });
  auto file = Open(disk, "/f", 1000);
  EXPECT_TRUE(file->WriteAt(7, "abc").ok());
  EXPECT_EQ(file->Sync().message(), "not now");
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(disk.operation_count(), 4u);
  EXPECT_EQ(seen[1].kind, Disk::OperationKind::kResize);
  EXPECT_EQ(seen[1].length, 1000u);
  EXPECT_EQ(seen[2].kind, Disk::OperationKind::kWrite);
  EXPECT_EQ(seen[2].index, 2u);
  EXPECT_EQ(seen[2].path, "/f");
  EXPECT_EQ(seen[2].offset, 7u);
  EXPECT_EQ(seen[2].length, 3u);
  disk.SetHook(nullptr);
  EXPECT_TRUE(file->Sync().ok());
}

TEST(SimulatedDiskTest, HookMayKillTheProcess) {
  Disk disk;
  auto file = Open(disk, "/f", kSector);
  disk.SetHook([&](const Disk::Operation&) {
    disk.KillProcess();
    return absl::OkStatus();
  });
  EXPECT_EQ(file->WriteAt(0, Sectors("a")).code(), absl::StatusCode::kInternal);
  disk.SetHook(nullptr);
  EXPECT_EQ(Letters(ReadPath(disk, "/f")), ".");
}

TEST(SimulatedDiskTest, ScriptChoosesFaults) {
  Disk disk;
  auto file = Open(disk, "/f", 10);
  disk.SetFaultScript([](const Disk::Operation& operation) {
    return operation.kind == Disk::OperationKind::kWrite
               ? Disk::Fault::Fail(EIO)
               : Disk::Fault();
  });
  EXPECT_FALSE(file->WriteAt(0, "a").ok());
  EXPECT_TRUE(file->Sync().ok());
  disk.SetFaultScript(nullptr);
  EXPECT_TRUE(file->WriteAt(0, "a").ok());
}

TEST(SimulatedDiskTest, CapacityIsOfWrittenSectors) {
  Disk disk;
  disk.SetCapacityBytes(3 * kSector);
  auto file = Open(disk, "/f", 100 * kSector);
  EXPECT_TRUE(file->WriteAt(50 * kSector, Sectors("ab")).ok());
  const absl::Status full = file->WriteAt(51 * kSector, Sectors("cde"));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.message(),
            "/f: write 1536 bytes at offset 26112: No space left on device");
  EXPECT_EQ(Letters(ReadAll(*file)).substr(50, 4), "acd.");
  EXPECT_TRUE(file->WriteAt(51 * kSector, Sectors("x")).ok());
  EXPECT_EQ(disk.allocated_bytes(), 3 * kSector);
  ASSERT_TRUE(file->Resize(51 * kSector).ok());
  EXPECT_EQ(disk.allocated_bytes(), kSector);
  EXPECT_TRUE(Open(disk, "/g", kSector)->WriteAt(0, Sectors("z")).ok());
}

TEST(SimulatedDiskTest, FlippedBitsAreDurable) {
  Disk disk;
  auto file = Open(disk, "/f", 2 * kSector);
  ASSERT_TRUE(disk.SyncDirectory("/").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->WriteAt(kSector, "new").ok());
  ASSERT_TRUE(disk.FlipBit("/f", 3, 7).ok());
  ASSERT_TRUE(disk.FlipBit("/f", kSector + 5, 0).ok());
  EXPECT_EQ(disk.FlipBit("/f", 2 * kSector, 0).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk.FlipBit("/none", 0, 0).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(file->View(3, 1).value()[0], '\x80');
  disk.PowerCut(3);
  auto reopened = disk.Open("/f", {false, 1 << 20}).value();
  EXPECT_EQ(reopened->View(3, 1).value()[0], '\x80');
  EXPECT_EQ(reopened->View(kSector + 5, 1).value()[0], '\x01');
}

TEST(SimulatedDiskTest, LostPagesComeBackWhenTheyAreWritten) {
  constexpr uint64_t kPage = 4096;
  Disk disk;
  auto file = Open(disk, "/f", 2 * kPage + 100);
  ASSERT_TRUE(disk.SyncDirectory("/").ok());
  const std::string whole(2 * kPage + 100, 'a');
  ASSERT_TRUE(file->WriteAt(0, whole).ok());
  ASSERT_TRUE(disk.LosePage("/f", 2 * kPage - 1).ok());
  ASSERT_TRUE(disk.LosePage("/f", 2 * kPage).ok());
  EXPECT_EQ(disk.LosePage("/f", whole.size()).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk.LosePage("/none", 0).code(), absl::StatusCode::kNotFound);
  const auto read = [&file](uint64_t offset, uint64_t length) {
    std::string bytes(length, '?');
    return file->ReadAt(offset, absl::MakeSpan(bytes));
  };
  EXPECT_TRUE(read(0, kPage).ok());
  EXPECT_EQ(read(kPage - 1, 2).message(),
            "/f: read 2 bytes at offset 4095: Input/output error");
  EXPECT_EQ(file->View(kPage - 1, 1).value()[0], 'a');
  EXPECT_EQ(file->View(kPage, 1).value()[0], '\0');
  // A part of a page cannot be written without the rest.
  EXPECT_EQ(file->WriteAt(0, std::string(kPage + 1, 'b')).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(file->View(0, 1).value()[0], 'a');
  EXPECT_TRUE(file->Sync().ok());
  disk.PowerCut(1);
  file = disk.Open("/f", {false, 1 << 20}).value();
  EXPECT_FALSE(read(kPage, 1).ok());
  EXPECT_TRUE(file->WriteAt(kPage, std::string(kPage, 'c')).ok());
  EXPECT_TRUE(read(0, 2 * kPage).ok());
  EXPECT_FALSE(read(2 * kPage, 100).ok());
  // To the end of the file is all of the last one.
  EXPECT_TRUE(file->WriteAt(2 * kPage, std::string(100, 'd')).ok());
  EXPECT_TRUE(read(0, whole.size()).ok());
}

TEST(SimulatedDiskTest, MemoryThatIsViewedNeverMoves) {
  Disk disk;
  auto file = Open(disk, "/f", 100);
  EXPECT_EQ(disk.Open("/f", {false, 1 << 24}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  file.reset();
  EXPECT_TRUE(disk.Open("/f", {false, 1 << 24}).ok());
}

TEST(SimulatedDiskTest, ThreadsMayShareIt) {
  Disk disk;
  auto shared = Open(disk, "/shared", 4 * kSector);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string bytes = Sectors(std::string(1, 'a' + i % 26));
        EXPECT_TRUE(shared->WriteAt(t * kSector, bytes).ok());
        const char* view = shared->View(t * kSector, kSector).value();
        EXPECT_EQ(absl::string_view(view, kSector), bytes);
        const std::string path = absl::StrCat("/", t, "-", i);
        EXPECT_TRUE(Open(disk, path, 10)->Sync().ok());
        EXPECT_TRUE(disk.Rename(path, absl::StrCat("/", t)).ok());
        EXPECT_TRUE(disk.SyncDirectory("/").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(disk.List("/").value(),
            (std::vector<std::string>{"0", "1", "2", "3", "shared"}));
}

// Random operations on both file systems: same results, same messages.
class LikePosix {
 public:
  LikePosix(uint64_t seed, std::string posix_root)
      : random_(seed), posix_root_(std::move(posix_root)) {}

  // Returns what both said, equal when the simulation is right.
  std::pair<std::string, std::string> Step() {
    const uint64_t what = Draw(11);
    const std::string a = DrawPath();
    const std::string b = DrawPath();
    const uint64_t size_bytes = Draw(3000);
    const uint64_t offset = Draw(3000);
    const std::string data(Draw(1500), static_cast<char>('a' + Draw(26)));
    const auto run = [&](FileSystem& files, const std::string& root) {
      return absl::StrReplaceAll(
          Run(files, what, root + a, root + b, size_bytes, offset, data),
          {{posix_root_, ""}});
    };
    return {run(*PosixFileSystem(), posix_root_), run(disk_, "")};
  }

 private:
  uint64_t Draw(uint64_t end) { return random_() % end; }
  std::string DrawPath() {
    std::string path;
    for (uint64_t depth = 1 + Draw(3); depth > 0; --depth) {
      absl::StrAppend(&path, "/", std::string(1, "xyz"[Draw(3)]));
    }
    return path;
  }
  static std::string Run(FileSystem& files, uint64_t what, const std::string& a,
                         const std::string& b, uint64_t size_bytes,
                         uint64_t offset, const std::string& data) {
    switch (what) {
      case 0:
      case 1:
        return files.CreateDirectories(a).ToString();
      case 2:
        return files.Remove(a).ToString();
      case 3:
        return files.Rename(a, b).ToString();
      case 4: {
        const auto names = files.List(a);
        return names.ok() ? absl::StrJoin(*names, " ")
                          : names.status().ToString();
      }
      case 5:
        return files.SyncDirectory(a).ToString();
      case 6:
        return files.Exists(a) ? "yes" : "no";
      case 7:
        return files.Lock(a).status().ToString();
      default:
        return UseFile(files, a, what == 8, size_bytes, offset, data);
    }
  }
  static std::string UseFile(FileSystem& files, const std::string& path,
                             bool resize, uint64_t size_bytes, uint64_t offset,
                             const std::string& data) {
    auto file = files.Open(path, {true, 2500});
    if (!file.ok()) return file.status().ToString();
    std::string said;
    if (resize) said = (*file)->Resize(size_bytes).ToString();
    absl::StrAppend(&said, (*file)->WriteAt(offset, data).ToString(),
                    (*file)->Sync().ToString(), ReadAll(**file));
    const auto view = (*file)->View(offset, data.size());
    return absl::StrCat(said, view.ok() ? absl::string_view(*view, data.size())
                                        : view.status().message());
  }

  std::mt19937_64 random_;
  const std::string posix_root_;
  Disk disk_;
};

TEST(SimulatedDiskTest, BehavesLikePosix) {
  const char* base = std::getenv("TEST_TMPDIR");
  uint64_t seed = std::random_device()();
  if (const char* given = std::getenv("LARDER_SEED")) {
    ASSERT_TRUE(absl::SimpleAtoi(given, &seed));
  }
  for (uint64_t round = 0; round < 20; ++round) {
    SCOPED_TRACE(testing::Message() << "LARDER_SEED=" << seed + round);
    std::string root =
        absl::StrCat(base == nullptr ? "/tmp" : base, "/like_posix.XXXXXX");
    ASSERT_NE(::mkdtemp(root.data()), nullptr);
    LikePosix both(seed + round, root);
    for (int step = 0; step < 300; ++step) {
      const auto [posix, simulated] = both.Step();
      ASSERT_EQ(posix, simulated) << "step " << step;
    }
    std::filesystem::remove_all(root);
  }
}

}  // namespace
}  // namespace larder::cache::l2
