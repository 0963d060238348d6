#include "cache/l2/chain.h"

#include <zstd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/compressibility.h"
#include "cache/l2/hash.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint32_t kZstdBit = 0x80000000u;  // In a frame's stored_bytes field.

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("chain header: ", what));
}

void AppendStrings(std::string* out, const std::vector<std::string>& strings) {
  AppendVarint(out, strings.size());
  for (const std::string& s : strings) AppendBytes(out, s);
}

bool ReadStrings(ByteReader* in, uint64_t count_max,
                 std::vector<std::string>* out) {
  uint64_t count;
  if (!in->ReadVarint(&count) || count > count_max) return false;
  for (uint64_t i = 0; i < count; ++i) {
    absl::string_view s;
    if (!in->ReadBytes(kTagBytesMax, &s)) return false;
    out->emplace_back(s);
  }
  return true;
}

bool ReadMetadata(ByteReader* in, ChainHeader* h) {
  uint64_t count;
  if (!in->ReadVarint(&count) || count > kMetadataKeysMax) return false;
  uint64_t bytes_left = kMetadataBytesMax;  // Of all keys and values.
  for (uint64_t i = 0; i < count; ++i) {
    absl::string_view k, v;
    if (!in->ReadBytes(bytes_left, &k) ||
        !in->ReadBytes(bytes_left - k.size(), &v)) {
      return false;
    }
    bytes_left -= k.size() + v.size();
    h->metadata.emplace_back(std::string(k), std::string(v));
  }
  return true;
}

absl::Status ReadFrames(ByteReader* in, uint32_t count, ChainHeader* h) {
  h->frames.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    Frame f;
    uint32_t stored_field;
    if (!in->ReadFixed32(&stored_field) || !in->ReadFixed32(&f.raw_bytes) ||
        !in->ReadFixed64(&f.checksum)) {
      return Bad("frame table cut short");
    }
    f.zstd = (stored_field & kZstdBit) != 0;
    f.stored_bytes = stored_field & ~kZstdBit;
    h->frames.push_back(f);
  }
  return absl::OkStatus();
}

bool NeedsHeader(const ChainHeader& h) {
  return h.frames.size() > 1 || !h.tags.empty() || !h.dependencies.empty() ||
         !h.metadata.empty();
}

Record RecordOf(const BlobAttributes& a) {
  Record r;
  r.expiry = a.expiry;
  r.version = a.version;
  r.priority = a.priority;
  r.l1_admission = a.l1_admission;
  r.invalidation_hashes.assign(a.invalidation_hashes.begin(),
                               a.invalidation_hashes.end());
  return r;
}

// zstd contexts are costly to make and not thread-safe.
ZSTD_CCtx* ThreadCompressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> ctx(
      ZSTD_createCCtx(), ZSTD_freeCCtx);
  return ctx.get();
}
ZSTD_DCtx* ThreadDecompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> ctx(
      ZSTD_createDCtx(), ZSTD_freeDCtx);
  return ctx.get();
}

// Compresses into `*out`; false when that saves too little.
bool CompressFrame(absl::string_view raw, int level, std::string* out) {
  if (IsIncompressible(raw)) return false;
  const size_t most = static_cast<size_t>(std::floor(
      static_cast<double>(raw.size()) * (1.0 - kCompressionSavingMin)));
  // Kept: what is new must be filled by somebody.
  thread_local const auto room =
      std::make_unique_for_overwrite<char[]>(kFrameRawBytes);
  const size_t n = ZSTD_compressCCtx(ThreadCompressor(), room.get(), most,
                                     raw.data(), raw.size(), level);
  // The only error possible here is that the output does not fit `most`.
  if (ZSTD_isError(n)) return false;
  out->assign(room.get(), n);
  return true;
}

}  // namespace

Record MakeRecord(const BlobAttributes& a, const ChainHeader& header,
                  absl::string_view encoded) {
  if (encoded.empty() && !header.frames.empty()) {
    return MakePlainRecord(a, header.frames[0]);
  }
  Record r = RecordOf(a);
  r.raw_bytes = header.raw_bytes;
  r.stored_bytes = header.stored_bytes;
  r.header_bytes = static_cast<uint32_t>(encoded.size());
  r.payload_checksum = Checksum64(encoded);
  return r;
}

Record MakePlainRecord(const BlobAttributes& a, const Frame& frame) {
  Record r = RecordOf(a);
  r.raw_bytes = frame.raw_bytes;
  r.stored_bytes = frame.stored_bytes;
  r.payload_checksum = frame.checksum;
  r.frame_is_zstd = frame.zstd;
  return r;
}

absl::Status CheckFrames(const ChainHeader& h) {
  if (h.raw_bytes > kBlobBytesMax ||
      h.frames.size() != (h.raw_bytes + kFrameRawBytes - 1) / kFrameRawBytes) {
    return Bad(absl::StrFormat("%d frames for %d bytes", h.frames.size(),
                               h.raw_bytes));
  }
  uint64_t raw = 0, stored = 0;
  for (size_t i = 0; i < h.frames.size(); ++i) {
    const Frame& f = h.frames[i];
    const bool last = i + 1 == h.frames.size();
    if (f.raw_bytes == 0 || f.raw_bytes > kFrameRawBytes ||
        (!last && f.raw_bytes != kFrameRawBytes) || f.stored_bytes == 0 ||
        f.stored_bytes > f.raw_bytes ||
        (!f.zstd && f.stored_bytes != f.raw_bytes)) {
      return Bad(absl::StrFormat("frame %d: sizes %d stored, %d raw", i,
                                 f.stored_bytes, f.raw_bytes));
    }
    raw += f.raw_bytes;
    stored += f.stored_bytes;
  }
  if (raw != h.raw_bytes || stored != h.stored_bytes) {
    return Bad(
        absl::StrFormat("frames hold %d raw, %d stored bytes vs "
                        "expected %d, %d",
                        raw, stored, h.raw_bytes, h.stored_bytes));
  }
  return absl::OkStatus();
}

std::string EncodeChainHeader(const ChainHeader& h) {
  std::string out;
  if (!NeedsHeader(h)) return out;
  AppendFixed32(&out, kChainMagic);
  AppendFixed32(&out, 0);  // header_bytes, below.
  AppendFixed64(&out, h.name_hash);
  AppendFixed64(&out, h.raw_bytes);
  AppendFixed64(&out, h.stored_bytes);
  AppendFixed32(&out, static_cast<uint32_t>(h.frames.size()));
  AppendFixed32(&out, 0);  // Reserved.
  LARDER_CHECK(out.size() == kChainFixedBytes);
  for (const Frame& f : h.frames) {
    AppendFixed32(&out, f.stored_bytes | (f.zstd ? kZstdBit : 0));
    AppendFixed32(&out, f.raw_bytes);
    AppendFixed64(&out, f.checksum);
  }
  if (!h.tags.empty() || !h.dependencies.empty() || !h.metadata.empty()) {
    AppendStrings(&out, h.tags);
    AppendStrings(&out, h.dependencies);
    AppendVarint(&out, h.metadata.size());
    for (const auto& [k, v] : h.metadata) {
      AppendBytes(&out, k);
      AppendBytes(&out, v);
    }
  }
  const uint32_t size = static_cast<uint32_t>(out.size());
  std::memcpy(out.data() + 4, &size, sizeof(size));
  return out;
}

absl::StatusOr<ChainHeader> DecodeChainHeader(absl::string_view bytes) {
  ByteReader in(bytes);
  ChainHeader h;
  uint32_t magic, header_bytes, frames, reserved;
  if (!in.ReadFixed32(&magic) || !in.ReadFixed32(&header_bytes) ||
      !in.ReadFixed64(&h.name_hash) || !in.ReadFixed64(&h.raw_bytes) ||
      !in.ReadFixed64(&h.stored_bytes) || !in.ReadFixed32(&frames) ||
      !in.ReadFixed32(&reserved)) {
    return Bad("cut short");
  }
  if (magic != kChainMagic) {
    return Bad(absl::StrFormat("magic: found %#x vs expected %#x", magic,
                               kChainMagic));
  }
  if (header_bytes != bytes.size() || reserved != 0) {
    return Bad(absl::StrFormat("says %d bytes vs %d held", header_bytes,
                               bytes.size()));
  }
  // Before there is room for them.
  if (frames > in.rest().size() / kChainFrameBytes) {
    return Bad(
        absl::StrFormat("%d frames in %d bytes", frames, in.rest().size()));
  }
  LARDER_RETURN_IF_ERROR(ReadFrames(&in, frames, &h));
  LARDER_RETURN_IF_ERROR(CheckFrames(h));
  const bool has_attributes = !in.empty();
  if (has_attributes && (!ReadStrings(&in, kTagsMax, &h.tags) ||
                         !ReadStrings(&in, kDependenciesMax, &h.dependencies) ||
                         !ReadMetadata(&in, &h))) {
    return Bad("attributes cut short or over their limits");
  }
  if (!in.empty()) {
    return Bad(absl::StrCat(in.rest().size(), " bytes left over"));
  }
  if (!NeedsHeader(h)) return Bad("nothing that the record does not say");
  return h;
}

Frame FrameOf(const Record& record) {
  Frame f;
  f.stored_bytes = static_cast<uint32_t>(record.stored_bytes);
  f.raw_bytes = static_cast<uint32_t>(record.raw_bytes);
  f.zstd = record.frame_is_zstd;
  f.checksum = record.payload_checksum;
  return f;
}

Frame EncodeFrame(absl::string_view raw, int level, std::string* packed) {
  Frame f;
  f.raw_bytes = static_cast<uint32_t>(raw.size());
  f.stored_bytes = f.raw_bytes;
  // First, although it may be for nothing: it brings in quickly what is then
  // looked at here and there.
  f.checksum = Checksum64(raw);
  if (level > 0 && CompressFrame(raw, level, packed)) {
    f.zstd = true;
    f.stored_bytes = static_cast<uint32_t>(packed->size());
    f.checksum = Checksum64(*packed);
  }
  return f;
}

EncodedFrames EncodeFrames(absl::string_view bytes, int level) {
  EncodedFrames out;
  const size_t count = (bytes.size() + kFrameRawBytes - 1) / kFrameRawBytes;
  out.owned.reserve(count);  // Views into its strings must stay.
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view raw =
        bytes.substr(i * kFrameRawBytes, kFrameRawBytes);
    std::string packed;
    const Frame frame = EncodeFrame(raw, level, &packed);
    out.frames.push_back(frame);
    out.stored_bytes += frame.stored_bytes;
    if (frame.zstd) out.owned.push_back(std::move(packed));
    out.stored.push_back(frame.zstd ? absl::string_view(out.owned.back())
                                    : raw);
  }
  return out;
}

absl::Status VerifyFrame(const Frame& frame, absl::string_view stored) {
  if (stored.size() != frame.stored_bytes) {
    return absl::DataLossError(absl::StrFormat(
        "frame: %d bytes vs expected %d", stored.size(), frame.stored_bytes));
  }
  const uint64_t found = Checksum64(stored);
  if (found != frame.checksum) {
    return absl::DataLossError(absl::StrFormat(
        "frame: checksum: found %#x vs expected %#x", found, frame.checksum));
  }
  return absl::OkStatus();
}

absl::Status DecodeFrame(const Frame& frame, absl::string_view stored,
                         char* out) {
  if (!frame.zstd) {
    LARDER_CHECK(stored.size() == frame.raw_bytes);
    std::memcpy(out, stored.data(), stored.size());
    return absl::OkStatus();
  }
  const size_t n = ZSTD_decompressDCtx(
      ThreadDecompressor(), out, frame.raw_bytes, stored.data(), stored.size());
  if (ZSTD_isError(n) || n != frame.raw_bytes) {
    return absl::DataLossError(absl::StrCat(
        "frame: zstd: ",
        ZSTD_isError(n) ? ZSTD_getErrorName(n) : "decodes to fewer bytes",
        " vs expected ", frame.raw_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> ChainReader::Bytes(
    uint64_t offset, uint64_t length, std::string* scratch) const {
  if (access_ == Access::kView && Holds(offset, length)) {
    if (record_->extents.empty()) {
      return absl::string_view(record_->inline_chain).substr(offset, length);
    }
    uint64_t extent_start = 0;  // In the chain.
    for (const Extent& e : record_->extents) {
      const uint64_t extent_end = extent_start + e.units * kUnitBytes;
      if (offset < extent_end) {
        if (length > extent_end - offset) break;  // In several pieces.
        absl::StatusOr<const char*> bytes = blobs_->View(
            e.first * kUnitBytes + (offset - extent_start), length);
        if (!bytes.ok()) {
          return absl::DataLossError(bytes.status().message());
        }
        return absl::string_view(*bytes, length);
      }
      extent_start = extent_end;
    }
  }
  scratch->clear();
  LARDER_RETURN_IF_ERROR(AppendTo(offset, length, scratch));
  return absl::string_view(*scratch);
}

absl::Status ChainReader::AppendTo(uint64_t offset, uint64_t length,
                                   std::string* out) const {
  if (!Holds(offset, length)) {
    return absl::DataLossError(
        absl::StrFormat("chain: bytes %d to %d vs %d held", offset,
                        offset + length, record_->chain_bytes()));
  }
  if (record_->extents.empty()) {
    out->append(record_->inline_chain, offset, length);
    return absl::OkStatus();
  }
  uint64_t extent_start = 0;  // In the chain.
  for (const Extent& e : record_->extents) {
    const uint64_t extent_bytes = e.units * kUnitBytes;
    if (offset < extent_start + extent_bytes) {
      const uint64_t within = offset - extent_start;
      const uint64_t n = std::min(length, extent_bytes - within);
      const size_t before = out->size();
      out->resize(before + n);
      const absl::Status read =
          blobs_->ReadAt(e.first * kUnitBytes + within,
                         absl::MakeSpan(out->data() + before, n));
      if (!read.ok()) return absl::DataLossError(read.message());
      offset += n;
      length -= n;
      if (length == 0) return absl::OkStatus();
    }
    extent_start += extent_bytes;
  }
  return absl::DataLossError("chain: extents end early");
}

absl::StatusOr<ChainHeader> ChainReader::Header(uint64_t name_hash) const {
  if (record_->header_bytes == 0) {
    ChainHeader h;
    h.name_hash = name_hash;
    h.raw_bytes = record_->raw_bytes;
    h.stored_bytes = record_->stored_bytes;
    if (h.raw_bytes > 0) h.frames.push_back(FrameOf(*record_));
    return h;
  }
  std::string scratch;
  LARDER_ASSIGN_OR_RETURN(const absl::string_view bytes,
                          Bytes(0, record_->header_bytes, &scratch));
  const uint64_t found = Checksum64(bytes);
  if (found != record_->payload_checksum) {
    return absl::DataLossError(absl::StrFormat(
        "%s: chain at offset %d: header checksum: found %#x vs expected %#x",
        blobs_->path(),
        record_->extents.empty() ? 0 : record_->extents[0].first * kUnitBytes,
        found, record_->payload_checksum));
  }
  LARDER_ASSIGN_OR_RETURN(ChainHeader header, DecodeChainHeader(bytes));
  if (header.raw_bytes != record_->raw_bytes ||
      header.stored_bytes != record_->stored_bytes) {
    return Bad("sizes differ from the record's");
  }
  if (header.name_hash != name_hash) return Bad("is another blob's");
  return header;
}

absl::Status WriteChainBytes(File* blobs, const Extents& extents,
                             uint64_t offset, absl::string_view data) {
  uint64_t extent_start = 0;
  for (const Extent& e : extents) {
    const uint64_t extent_bytes = e.units * kUnitBytes;
    if (!data.empty() && offset < extent_start + extent_bytes) {
      const uint64_t within = offset - extent_start;
      const absl::string_view part = data.substr(0, extent_bytes - within);
      LARDER_RETURN_IF_ERROR(
          blobs->WriteAt(e.first * kUnitBytes + within, part));
      data.remove_prefix(part.size());
      offset += part.size();
    }
    extent_start += extent_bytes;
  }
  LARDER_CHECK(data.empty());
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
