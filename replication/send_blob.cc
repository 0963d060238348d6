#include "replication/send_blob.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/status_macros.h"
#include "replication/limits.h"

namespace larder::replication {
namespace {

void Describe(const ReplicatedView& from, const cache::BlobAttributes& a,
              GetReply* reply) {
  reply->set_lineage(from.lineage);
  reply->set_epoch(from.epoch);
  reply->set_hlc(a.hlc.value);
  reply->set_version(a.version);
  reply->set_expires_at_unix_ms(a.expiry.expires_at_unix_ms);
  for (const std::string& tag : a.tags) reply->add_tags(tag);
}

}  // namespace

absl::Status SendBlob(const BlobReader& reader, const GetRequest& request,
                      absl::FunctionRef<bool(const GetReply&)> write) {
  constexpr uint64_t kPartBytes = 1 << 20;
  LARDER_ASSIGN_OR_RETURN(const ReplicatedView from, reader.Newest());
  for (uint64_t offset = 0;; offset += kPartBytes) {
    LARDER_ASSIGN_OR_RETURN(
        const std::shared_ptr<const cache::Blob> part,
        from.view->GetRange(request.namespace_(), request.key(), offset,
                            kPartBytes));
    if (part == nullptr) {
      return absl::NotFoundError("get: absent, expired or invalidated");
    }
    absl::string_view left = part->bytes();
    const bool is_last = left.size() < kPartBytes;
    bool is_first = offset == 0;
    while (is_first || !left.empty()) {
      GetReply reply;
      if (is_first) Describe(from, part->attributes(), &reply);
      is_first = false;
      const absl::string_view piece = left.substr(0, kPieceBytesMax);
      reply.set_data(piece.data(), piece.size());
      left.remove_prefix(piece.size());
      if (!write(reply)) return absl::CancelledError("get: cut");
    }
    if (is_last) return absl::OkStatus();
  }
}

}  // namespace larder::replication
