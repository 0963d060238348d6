#include "cache/l2/journal.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint32_t kMagic = 0x314e4a4c;            // "LJN1"
constexpr size_t kHeaderBytes = 16;                // Checksum, magic, size.
constexpr uint64_t kEpochMax = uint64_t{1} << 47;  // As in a superblock.
constexpr uint64_t kHlcMax = uint64_t{1} << 63;
constexpr uint64_t kEntryBytesMax = 2048;
static_assert(kEntryBytesMax >=
              kHeaderBytes + 32 + kNamespaceBytesMax + kKeyBytesMax);

}  // namespace

std::string EncodeJournalEntry(const JournalEntry& entry) {
  std::string body;
  AppendFixed64(&body, entry.epoch);
  AppendFixed64(&body, entry.tombstone.hlc.value);
  AppendFixed64(&body, entry.generation);
  body.push_back(static_cast<char>(entry.tombstone.kind));
  AppendBytes(&body, entry.tombstone.ns);
  AppendBytes(&body, entry.tombstone.value);
  uint64_t size = kHeaderBytes + body.size();
  size = (size + Journal::kAlignBytes - 1) / Journal::kAlignBytes *
         Journal::kAlignBytes;
  LARDER_CHECK(size <= kEntryBytesMax);
  std::string rest;  // Everything behind the checksum.
  AppendFixed32(&rest, kMagic);
  AppendFixed32(&rest, static_cast<uint32_t>(size));
  rest += body;
  rest.resize(size - 8, '\0');
  std::string out;
  AppendFixed64(&out, Checksum64(rest));
  return out + rest;
}

absl::StatusOr<JournalEntry> DecodeJournalEntry(absl::string_view bytes,
                                                uint64_t* size) {
  const auto bad = [](absl::string_view what) {
    return absl::DataLossError(absl::StrCat("journal entry: ", what));
  };
  ByteReader in(bytes);
  uint64_t checksum;
  uint32_t magic, entry_bytes;
  if (!in.ReadFixed64(&checksum) || !in.ReadFixed32(&magic) ||
      !in.ReadFixed32(&entry_bytes) || magic != kMagic) {
    return bad("no entry");
  }
  if (entry_bytes > kEntryBytesMax || entry_bytes > bytes.size() ||
      entry_bytes % Journal::kAlignBytes != 0 || entry_bytes == 0) {
    return bad("size");
  }
  if (Checksum64(bytes.substr(8, entry_bytes - 8)) != checksum) {
    return bad("checksum");
  }
  // Only what the checksum covers.
  in = ByteReader(bytes.substr(kHeaderBytes, entry_bytes - kHeaderBytes));
  JournalEntry e;
  uint8_t kind;
  absl::string_view ns, value;
  if (!in.ReadFixed64(&e.epoch) || !in.ReadFixed64(&e.tombstone.hlc.value) ||
      !in.ReadFixed64(&e.generation) || !in.ReadByte(&kind) ||
      kind < static_cast<uint8_t>(TombstoneKind::kNamespace) ||
      kind > static_cast<uint8_t>(TombstoneKind::kKey) ||
      !in.ReadBytes(kNamespaceBytesMax, &ns) ||
      !in.ReadBytes(kKeyBytesMax, &value) || e.epoch >= kEpochMax ||
      e.tombstone.hlc.value > kHlcMax) {
    return bad("impossible field");
  }
  e.tombstone.kind = static_cast<TombstoneKind>(kind);
  const bool hashed = e.tombstone.kind == TombstoneKind::kTag ||
                      e.tombstone.kind == TombstoneKind::kDependency;
  if (hashed && value.size() != sizeof(uint64_t)) return bad("hash size");
  if (ns.empty() ||
      (e.tombstone.kind == TombstoneKind::kKey && value.empty())) {
    return bad("empty name");
  }
  e.tombstone.ns = std::string(ns);
  e.tombstone.value = std::string(value);
  *size = entry_bytes;
  return e;
}

absl::Status Journal::Append(const JournalEntry& entry) {
  const std::string bytes = EncodeJournalEntry(entry);
  const int i = entry.epoch % 2;
  MutexLock lock(&mu_);
  if (kept_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(files_[i]->path(),
                     ": journal: no commit holds yet what the last process "
                     "left in it, for want of room"));
  }
  // An entry of an older epoch than the file's would be overwritten state.
  LARDER_CHECK(entry.epoch >= epoch_[i]);
  if (entry.epoch > epoch_[i]) {
    epoch_[i] = entry.epoch;
    end_[i] = 0;
    // One that was written under a larger budget.
    if (files_[i]->Size() > file_bytes_max_) {
      LARDER_RETURN_IF_ERROR(files_[i]->Resize(file_bytes_max_));
    }
  }
  if (end_[i] + bytes.size() > files_[i]->Size()) {
    if (files_[i]->Size() >= file_bytes_max_) {
      return absl::ResourceExhaustedError(absl::StrCat(
          files_[i]->path(), ": journal: ", end_[i] + bytes.size(),
          " bytes vs at most ", file_bytes_max_, " between two commits"));
    }
    LARDER_RETURN_IF_ERROR(files_[i]->Resize(
        std::min(files_[i]->Size() + kGrowBytes, file_bytes_max_)));
  }
  LARDER_RETURN_IF_ERROR(files_[i]->WriteAt(end_[i], bytes));
  end_[i] += bytes.size();
  if (epoch_[i] > epoch_[1 - i]) newest_end_.store(end_[i]);
  return absl::OkStatus();
}

void Journal::Keep() {
  MutexLock lock(&mu_);
  kept_ = true;
}

void Journal::NoteCommitted(uint64_t epoch) {
  MutexLock lock(&mu_);
  kept_ = false;
  if (std::max(epoch_[0], epoch_[1]) <= epoch) newest_end_.store(0);
}

uint64_t Journal::ReservedBytes() const {
  return std::max(files_[0]->Size(), file_bytes_max_) +
         std::max(files_[1]->Size(), file_bytes_max_);
}

absl::Status Journal::Sync() {
  LARDER_RETURN_IF_ERROR(files_[0]->Sync());
  return files_[1]->Sync();
}

absl::StatusOr<std::vector<JournalEntry>> Journal::ReadAfter(
    uint64_t committed_epoch) const {
  std::vector<JournalEntry> entries;
  for (const File* file : files_) {
    // In pieces, each overlapping the next by one largest entry, so that
    // memory is bounded by what is live.
    constexpr uint64_t kPieceBytes = 1 << 20;
    const uint64_t file_bytes = file->Size();
    for (uint64_t start = 0; start < file_bytes; start += kPieceBytes) {
      std::string piece(
          std::min(kPieceBytes + kEntryBytesMax, file_bytes - start), '\0');
      LARDER_RETURN_IF_ERROR(file->ReadAt(start, absl::MakeSpan(piece)));
      uint64_t at = 0;
      while (at < piece.size() && at < kPieceBytes) {
        uint64_t size = kAlignBytes;
        absl::StatusOr<JournalEntry> e =
            DecodeJournalEntry(absl::string_view(piece).substr(at), &size);
        if (e.ok() && e->epoch > committed_epoch) {
          entries.push_back(*std::move(e));
        }
        at += size;
      }
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const JournalEntry& a, const JournalEntry& b) {
              return a.tombstone.hlc < b.tombstone.hlc;
            });
  return entries;
}

}  // namespace larder::cache::l2
