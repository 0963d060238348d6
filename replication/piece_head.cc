#include "replication/piece_head.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "cache/check.h"
#include "replication/limits.h"
#include "replication/replication.pb.h"

namespace larder::replication {
namespace {

using google::protobuf::io::CodedOutputStream;

// The tags of fields with lengths, and of numbers (Protocol Buffers, encoding).
constexpr uint32_t WithLength(uint32_t field) { return field << 3 | 2; }
constexpr uint32_t Number(uint32_t field) { return field << 3; }

}  // namespace

std::string EncodePieceHead(uint64_t position, size_t data_bytes) {
  LARDER_CHECK(data_bytes <= kPieceBytesMax);
  const auto data_size = static_cast<uint32_t>(data_bytes);
  constexpr uint32_t kPosition = Number(Piece::kPositionFieldNumber);
  constexpr uint32_t kData = WithLength(Piece::kDataFieldNumber);
  const size_t piece_bytes = CodedOutputStream::VarintSize32(kPosition) +
                             CodedOutputStream::VarintSize64(position) +
                             CodedOutputStream::VarintSize32(kData) +
                             CodedOutputStream::VarintSize32(data_size) +
                             data_bytes;
  std::string head;
  google::protobuf::io::StringOutputStream stream(&head);
  CodedOutputStream out(&stream);
  out.WriteVarint32(WithLength(TransferRequest::kPieceFieldNumber));
  out.WriteVarint32(static_cast<uint32_t>(piece_bytes));
  out.WriteVarint32(kPosition);
  out.WriteVarint64(position);
  out.WriteVarint32(kData);
  out.WriteVarint32(data_size);
  out.Trim();
  return head;
}

}  // namespace larder::replication
