#include "tests/golden/describe.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "backup/format/checksum.h"
#include "cache/check.h"
#include "cache/hlc.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::tests {
namespace {

using cache::Hlc;
using cache::StoredRecord;

std::string Checksum(absl::string_view bytes) {
  return absl::StrCat(
      absl::Hex(backup::format::Checksum64(bytes), absl::kZeroPad16));
}

class Describer {
 public:
  Describer(cache::BlobCache* cache, int64_t epoch_unix_ms)
      : cache_(cache), epoch_unix_ms_(epoch_unix_ms) {}

  std::string Describe() {
    const auto snapshot = cache_->TakeSnapshot({.owner = "describe"});
    LARDER_CHECK(snapshot.ok());
    const cache::SnapshotInfo& info = (*snapshot)->info();
    std::vector<std::string> lines;
    for (const cache::NamespaceState& ns : info.namespaces) {
      lines.push_back(absl::StrCat("namespace ", ns.name, " ", ns.generation,
                                   Time(" flushed", ns.flushed_at)));
    }
    for (const cache::Tombstone& t : info.tombstones) {
      lines.push_back(absl::StrCat("tombstone ", static_cast<int>(t.kind), " ",
                                   t.ns, " ", absl::BytesToHexString(t.value),
                                   Time(" at", t.hlc)));
    }
    AddRecords(**snapshot, &lines);
    absl::c_sort(lines);
    return absl::StrJoin(lines, "\n") + "\n";
  }

 private:
  std::string Time(absl::string_view name, Hlc hlc) const {
    if (hlc == Hlc()) return "";
    return absl::StrCat(name, "=", hlc.unix_millis() - epoch_unix_ms_, ".",
                        hlc.value & 0xffff);
  }
  static std::string Number(absl::string_view name, int64_t number) {
    return number == 0 ? "" : absl::StrCat(name, "=", number);
  }
  static std::string List(absl::string_view name,
                          const std::vector<std::string>& list) {
    return list.empty() ? ""
                        : absl::StrCat(name, "=", absl::StrJoin(list, ","));
  }

  void AddRecords(const cache::Snapshot& snapshot,
                  std::vector<std::string>* lines) {
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    for (cache::Snapshot::Position position; !position.at_end;) {
      LARDER_CHECK(snapshot.Read(100, &position, &records, &damage).ok());
    }
    LARDER_CHECK(damage.empty());
    for (const StoredRecord& record : records) {
      const auto hit = cache_->Get(record.ns, record.key);
      if (hit.has_value()) lines->push_back(Line(record, hit->bytes()));
    }
  }

  std::string Line(const StoredRecord& record, absl::string_view bytes) const {
    const cache::BlobAttributes& a = record.attributes;
    std::string zstd;
    for (const cache::Frame& frame : record.frames) {
      zstd += frame.zstd ? 'z' : 'p';
    }
    std::vector<std::string> metadata;
    for (const auto& [name, value] : a.metadata) {
      metadata.push_back(absl::StrCat(name, ":", value));
    }
    return absl::StrCat(
        record.ns, "/", absl::CHexEscape(record.key), " ", bytes.size(), " ",
        Checksum(bytes), Time(" at", a.hlc),
        Number(" read", Since(record.last_access_unix_ms)),
        Number(" version", static_cast<int64_t>(a.version)),
        Number(" priority", a.priority - 128),
        Number(" l1", static_cast<int64_t>(a.l1_admission)),
        Number(" expires", Since(a.expiry.expires_at_unix_ms)),
        Number(" idle", a.expiry.idle_ttl_ms),
        Number(" stale", a.expiry.stale_ms), List(" tags", a.tags),
        List(" dependencies", a.dependencies), List(" metadata", metadata),
        zstd.empty() ? "" : " frames=", zstd);
  }
  int64_t Since(int64_t unix_ms) const {
    return unix_ms == 0 ? 0 : unix_ms - epoch_unix_ms_;
  }

  cache::BlobCache* const cache_;
  const int64_t epoch_unix_ms_;
};

}  // namespace

std::string DescribeCache(cache::BlobCache* cache, int64_t epoch_unix_ms) {
  return Describer(cache, epoch_unix_ms).Describe();
}

std::string DescribeFiles(const std::string& root) {
  std::vector<std::string> lines;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    struct stat info;
    LARDER_CHECK(stat(entry.path().c_str(), &info) == 0);
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    lines.push_back(absl::StrCat(
        entry.path().lexically_relative(root).string(), " ",
        absl::StrFormat("%04o", info.st_mode & 07777), " ", info.st_mtim.tv_sec,
        " ", bytes.size(), " ", Checksum(bytes)));
  }
  absl::c_sort(lines);
  return absl::StrJoin(lines, "\n") + "\n";
}

}  // namespace larder::tests
