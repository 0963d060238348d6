// Limits of the protocol (replication.proto): kept by who sends, refused by who
// receives before anything is allocated.
#ifndef LARDER_REPLICATION_LIMITS_H_
#define LARDER_REPLICATION_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace larder::replication {

inline constexpr uint32_t kProtocolVersion = 1;

inline constexpr size_t kMessageBytesMax = 1 << 20;
inline constexpr size_t kPieceBytesMax = 256 << 10;
// Of a DumpHeader in a message: 64 sources with 64 ancestors of 36 bytes each
// take 150 KiB.
inline constexpr size_t kHeaderBytesMax = 512 << 10;
inline constexpr size_t kLineageBytesMax = 64;

// Far enough from where counting on comes round to 0, which would fence nobody;
// no run of promotions comes so far.
inline constexpr uint64_t kTermMax = uint64_t{1} << 62;

// Bytes under way that the replica has not reported as received are what a cut
// costs: at most the window that a connection starts with, and the 32nd part of
// what it has moved, up to the last window. One that goes on after a cut starts
// carefully. docs/adr/0009-replication.md, "window".
inline constexpr uint64_t kWindowBytesFirst = 1 << 20;
inline constexpr uint64_t kWindowBytesResumed = 32 << 10;
inline constexpr uint64_t kWindowBytesMax = 4 << 20;
inline constexpr uint64_t kWindowGrowth = 32;

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_LIMITS_H_
