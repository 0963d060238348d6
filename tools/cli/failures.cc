#include "tools/cli/failures.h"

namespace larder::cli {

void Failures::Add(absl::string_view item, absl::string_view reason) {
  if (count_++ >= kKept) return;
  kept_.Object(JsonObject().Bytes("item", item).String("reason", reason));
}

void Failures::AddTo(JsonObject* object) const {
  object->Int("failed", count_);
  if (!empty()) object->Array("failures", kept_);
}

}  // namespace larder::cli
