#include "backup/internal/hydration_files.h"

#include <cstdint>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/format/message.h"
#include "backup/format/record_codec.h"
#include "backup/internal/lease.h"
#include "backup/small_file.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"
#include "cache/tombstone.h"

namespace larder::backup_internal {

using backup::format::HydrationState;
using backup::format::Invalidations;
using cache::l2::FileSystem;

namespace {

constexpr uint32_t kFormatVersion = 1;
constexpr absl::string_view kStateName = "hydrating.state";
constexpr absl::string_view kInvalidationsName = "hydrating.invalidations-";
// Of one file; with the largest prefix behind, well within a small file.
constexpr size_t kPartBytes = 512 << 10;
constexpr size_t kFieldsBytes = 32;

// More than any archive has; two of them, and what is counted from there on,
// are within 63 bits.
constexpr int64_t kCountMax = int64_t{1} << 60;

// The restore goes on counting from them.
absl::Status CheckCounts(const HydrationState& state) {
  std::vector<int64_t> counts = {state.records(),
                                 state.stored_bytes(),
                                 state.records_added(),
                                 state.bytes_added(),
                                 state.records_expired(),
                                 state.records_invalidated(),
                                 state.records_fetched(),
                                 state.bytes_fetched(),
                                 state.records_lost(),
                                 state.records_hidden(),
                                 state.records_without_room()};
  for (const backup::format::LostBlob& lost : state.lost()) {
    counts.push_back(lost.count());
  }
  for (const int64_t count : counts) {
    if (count >= 0 && count <= kCountMax) continue;
    return absl::DataLossError(
        absl::StrCat("a count: ", count, " vs 0 to ", kCountMax));
  }
  return absl::OkStatus();
}

absl::Status WritePart(FileSystem* file_system, const std::string& l2_path,
                       uint32_t part, const Invalidations& message) {
  return backup::WriteSmallFile(file_system, l2_path,
                                absl::StrCat(kInvalidationsName, part),
                                backup::format::SerializeMessage(message));
}

}  // namespace

absl::Status WriteHydrationState(FileSystem* file_system,
                                 const std::string& l2_path,
                                 HydrationState state) {
  state.set_format_version(kFormatVersion);
  std::string bytes = backup::format::SerializeMessage(state);
  while (bytes.size() > backup::kSmallFileBytesMax && state.lost_size() > 0) {
    state.mutable_lost()->DeleteSubrange(state.lost_size() / 2,
                                         (state.lost_size() + 1) / 2);
    bytes = backup::format::SerializeMessage(state);
  }
  return backup::WriteSmallFile(file_system, l2_path, kStateName, bytes);
}

absl::StatusOr<HydrationState> ReadHydrationState(FileSystem* file_system,
                                                  const std::string& l2_path) {
  LARDER_ASSIGN_OR_RETURN(
      const std::string bytes,
      backup::ReadSmallFile(file_system, l2_path, kStateName));
  HydrationState state;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(bytes, &state));
  if (state.format_version() != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(l2_path, "/", kStateName, ": format version ",
                     state.format_version(), " vs ", kFormatVersion));
  }
  if (!state.lease_name().empty() && !IsLeaseName(state.lease_name())) {
    return absl::DataLossError(
        absl::StrCat(l2_path, "/", kStateName, ": lease: not the name of one"));
  }
  const absl::Status counts = CheckCounts(state);
  if (!counts.ok()) {
    return absl::DataLossError(
        absl::StrCat(l2_path, "/", kStateName, ": ", counts.message()));
  }
  return state;
}

absl::StatusOr<uint32_t> WriteHydrationInvalidations(
    FileSystem* file_system, const std::string& l2_path,
    const InvalidationSet& set) {
  Invalidations message;
  size_t bytes = 0;
  uint32_t parts = 0;
  const auto make_room = [&](size_t more) {
    bytes += more + kFieldsBytes;
    if (bytes <= kPartBytes) return absl::OkStatus();
    LARDER_RETURN_IF_ERROR(WritePart(file_system, l2_path, parts++, message));
    message.Clear();
    bytes = more + kFieldsBytes;
    return absl::OkStatus();
  };
  for (const cache::NamespaceState& state : set.Namespaces()) {
    LARDER_RETURN_IF_ERROR(make_room(state.name.size()));
    ToMessage(state, message.add_namespaces());
  }
  for (const cache::Tombstone& t : set.Tombstones()) {
    LARDER_RETURN_IF_ERROR(make_room(t.ns.size() + t.value.size()));
    ToMessage(t, message.add_tombstones());
  }
  LARDER_RETURN_IF_ERROR(WritePart(file_system, l2_path, parts++, message));
  return parts;
}

absl::Status ReadHydrationInvalidations(FileSystem* file_system,
                                        const std::string& l2_path,
                                        uint32_t parts, InvalidationSet* set) {
  for (uint32_t part = 0; part < parts; ++part) {
    LARDER_ASSIGN_OR_RETURN(
        const std::string bytes,
        backup::ReadSmallFile(file_system, l2_path,
                              absl::StrCat(kInvalidationsName, part)));
    Invalidations message;
    LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(bytes, &message));
    LARDER_RETURN_IF_ERROR(set->Add(message));
  }
  return absl::OkStatus();
}

absl::Status RemoveHydrationFiles(FileSystem* file_system,
                                  const std::string& l2_path) {
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          file_system->List(l2_path));
  bool any = false;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kStateName) &&
        !absl::StartsWith(name, kInvalidationsName)) {
      continue;
    }
    any = true;
    LARDER_RETURN_IF_ERROR(
        file_system->Remove(absl::StrCat(l2_path, "/", name)));
  }
  return any ? file_system->SyncDirectory(l2_path) : absl::OkStatus();
}

}  // namespace larder::backup_internal
