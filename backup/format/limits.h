// Limits of dumps and archives (docs/formats/dump.md, "limits"). A writer keeps
// them; a reader refuses what exceeds them before it allocates anything.
#ifndef LARDER_BACKUP_FORMAT_LIMITS_H_
#define LARDER_BACKUP_FORMAT_LIMITS_H_

#include <cstdint>

namespace larder::backup::format {

inline constexpr uint32_t kFormatVersion = 1;

// Stored payload of one chunk. One frame of the largest size fits behind a
// nearly full chunk.
inline constexpr uint32_t kChunkPayloadBytesMax = 8 << 20;
// A payload that is compressed, once it is decoded.
inline constexpr uint32_t kDecodedBytesMax = 4 << 20;
// Decoded over stored. Where zstd ends by design: a block of 128 KiB of equal
// bytes takes 4. The cap on decoded bytes is what bounds memory.
inline constexpr uint32_t kRatioMax = 32'768;
// zstd windows of 8 MiB.
inline constexpr int kWindowLogMax = 23;

// Fields in one message and all below it: what parsing may allocate objects
// for, at up to 256 bytes each (64 MiB).
inline constexpr int64_t kMessageItemsMax = 262'144;
inline constexpr int kMessageDepthMax = 8;

// Of hybrid logical clocks: the year 4199. L2 takes twice as much, so that a
// restored one can still count on.
inline constexpr uint64_t kHlcMax = uint64_t{1} << 62;
inline constexpr uint64_t kGenerationMax = uint64_t{1} << 62;
// Each snapshot of an archive gets the next one.
inline constexpr uint64_t kOrdinalMax = uint64_t{1} << 62;

inline constexpr int64_t kRecordsPerChunkMax = 4096;
// Of a delta: what its ranges keep, in one chunk.
inline constexpr int64_t kKeptPerChunkMax = 65'536;
// Deltas on top of a full dump: what a restore has to read through.
inline constexpr int kDeltasPerChainMax = 8;
inline constexpr int64_t kFramesPerRecordMax = 65'536;
inline constexpr uint32_t kFrameBytesMax = 1 << 20;  // Stored and raw.
// Of one source: their count, and the bytes of all names and values.
inline constexpr int64_t kTombstonesMax = 1 << 20;
inline constexpr int64_t kInvalidationBytesMax = 64 << 20;
inline constexpr int64_t kNamespacesMax = 65'536;

inline constexpr int64_t kPathBytesMax = 4095;
inline constexpr int64_t kPathComponentBytesMax = 255;
inline constexpr int64_t kPathDepthMax = 128;
inline constexpr int64_t kFilePartBytesMax = 2 << 20;
inline constexpr int64_t kPartsPerChunkMax = 4096;

inline constexpr int64_t kSourcesMax = 64;
inline constexpr int64_t kSourceNameBytesMax = 64;
inline constexpr int64_t kSnapshotIdBytesMax = 64;
// Problems that a dump lists by name for each source; it counts them all.
inline constexpr int64_t kProblemsListedMax = 100;
inline constexpr int64_t kProblemBytesMax = 500;

inline constexpr uint64_t kManifestBytesMax = 16 << 20;
inline constexpr int64_t kPacksMax = 32'768;
// A writer closes packs long before; see DirectorySink.
inline constexpr uint64_t kPackBytesMax = uint64_t{128} << 20;

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_LIMITS_H_
