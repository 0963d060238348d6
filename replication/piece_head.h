// The bytes of a Piece on the wire before its data, so that these need not be
// copied into a message.
#ifndef LARDER_REPLICATION_PIECE_HEAD_H_
#define LARDER_REPLICATION_PIECE_HEAD_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace larder::replication {

// With `data_bytes` of data behind them, they are a TransferRequest of a Piece
// at `position`. Requires: data_bytes <= kPieceBytesMax.
std::string EncodePieceHead(uint64_t position, size_t data_bytes);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_PIECE_HEAD_H_
