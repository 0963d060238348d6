#include "tools/cli/losses.h"

#include "absl/strings/str_cat.h"
#include "tools/cli/units.h"

namespace larder::cli {

std::string LossName(const backup::Loss& loss) {
  switch (loss.kind) {
    case backup::Loss::Kind::kBlob:
      return absl::StrCat("blob ", loss.ns, " ", loss.name);
    case backup::Loss::Kind::kFile:
      return absl::StrCat("file ", loss.name);
    case backup::Loss::Kind::kUnnamedBlobs:
      return absl::StrCat(FormatPlural(loss.count, "blob"),
                          " whose names are lost");
    case backup::Loss::Kind::kUnnamedFiles:
      return absl::StrCat(FormatPlural(loss.count, "file"),
                          " whose names are lost");
  }
  return loss.name;
}

}  // namespace larder::cli
