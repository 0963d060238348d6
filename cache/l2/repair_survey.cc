#include "cache/l2/repair_survey.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// How many damaged pages are tried, some 20 ms each.
constexpr size_t kMendTriesMax = 256;

// Whether one flipped bit makes `bytes` the page that `ref` names; then that
// bit is flipped. One in 2^49 such finds is wrong, as the checksum has 64 bits.
bool MendBit(const ChildRef& ref, std::string* bytes) {
  for (char& byte : *bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      byte = static_cast<char>(byte ^ (1 << bit));
      if (PageView::Verify(bytes->data(), ref).ok()) return true;
      byte = static_cast<char>(byte ^ (1 << bit));
    }
  }
  return false;
}

class Surveyor {
 public:
  Surveyor(const Superblock& superblock, File* meta, RepairPages* pages)
      : superblock_(superblock), meta_(meta), pages_(pages) {}

  absl::StatusOr<Survey> Run() {
    // What is mended leads to more pages, what is refused to fewer.
    for (bool again = true; again;) {
      LARDER_RETURN_IF_ERROR(Walk());
      again = !reached_twice_.empty();
      for (const uint64_t page : reached_twice_) pages_->Refuse(page);
      for (const Survey::LostPage& lost : survey_.lost) {
        LARDER_ASSIGN_OR_RETURN(const bool mended, Mend(lost.damage.ref));
        again |= mended;
      }
    }
    return std::move(survey_);
  }

 private:
  absl::Status Walk() {
    survey_.lost.clear();
    reached_twice_.clear();
    pages_->KeepNothing();
    for (const auto& [tree, root] :
         {std::pair<MetaTree, ChildRef>{MetaTree::kSystem, superblock_.system},
          {MetaTree::kRecords, superblock_.records},
          {MetaTree::kDue, superblock_.due},
          {MetaTree::kAge, superblock_.age}}) {
      const MetaTree which = tree;
      LARDER_RETURN_IF_ERROR(Tree(pages_, root)
                                 .VisitPages(
                                     [&](const Tree::PageInfo& page) {
                                       if (pages_->IsKept(page.ref.page)) {
                                         reached_twice_.insert(page.ref.page);
                                       }
                                       pages_->Keep(page.ref.page);
                                     },
                                     [&](const Tree::Damage& damage) {
                                       survey_.lost.push_back({which, damage});
                                     }));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Mend(const ChildRef& ref) {
    if (tried_.size() >= kMendTriesMax || !tried_.insert(ref.page).second) {
      return false;
    }
    std::string bytes(kPageBytes, '\0');
    if (!pages_->Copy(ref.page, bytes.data()) || !MendBit(ref, &bytes)) {
      return false;
    }
    LARDER_RETURN_IF_ERROR(meta_->WriteAt(ref.page * kPageBytes, bytes));
    survey_.mended.push_back(ref.page);
    return true;
  }

  const Superblock& superblock_;
  File* const meta_;
  RepairPages* const pages_;
  Survey survey_;
  absl::flat_hash_set<uint64_t> reached_twice_;
  absl::flat_hash_set<uint64_t> tried_;
};

}  // namespace

const char* NameOf(MetaTree tree) {
  switch (tree) {
    case MetaTree::kSystem:
      return "system";
    case MetaTree::kRecords:
      return "records";
    case MetaTree::kDue:
      return "due";
    case MetaTree::kAge:
      break;
  }
  return "age";
}

bool Survey::IsWhole(MetaTree tree) const {
  return std::none_of(lost.begin(), lost.end(), [tree](const LostPage& page) {
    return page.tree == tree;
  });
}

absl::StatusOr<Survey> SurveyTrees(const Superblock& superblock, File* meta,
                                   RepairPages* pages) {
  return Surveyor(superblock, meta, pages).Run();
}

}  // namespace larder::cache::l2
