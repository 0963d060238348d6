#include "cache/l2/check_chain.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "cache/l2/chain.h"
#include "cache/name_hash.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {

absl::Status CheckChain(const File& blobs, const Record& record,
                        absl::string_view ns, absl::string_view key) {
  const ChainReader chain(&blobs, &record, ChainReader::Access::kCopy);
  LARDER_ASSIGN_OR_RETURN(const ChainHeader header,
                          chain.Header(NameHash(ns, key)));
  uint64_t at = record.header_bytes;
  std::string scratch;
  std::string raw(std::min<uint64_t>(record.raw_bytes, kFrameRawBytes), '\0');
  for (const Frame& frame : header.frames) {
    LARDER_ASSIGN_OR_RETURN(const absl::string_view stored,
                            chain.Bytes(at, frame.stored_bytes, &scratch));
    LARDER_RETURN_IF_ERROR(VerifyFrame(frame, stored));
    LARDER_RETURN_IF_ERROR(DecodeFrame(frame, stored, raw.data()));
    at += frame.stored_bytes;
  }
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
