#include "cache/l2_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cache/l2/btree.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/page.h"
#include "cache/l2/system_tree.h"

namespace larder::cache {

using l2::ChildRef;
using l2::kPageBytes;
using l2::Tree;

L2Image ReadImage(l2::SimulatedDisk* disk, const std::string& directory) {
  L2Image image;
  const auto names = disk->List(directory);
  EXPECT_TRUE(names.ok()) << names.status();
  if (!names.ok()) return image;
  for (const std::string& name : *names) {
    auto file = disk->Open(absl::StrCat(directory, "/", name), {});
    EXPECT_TRUE(file.ok()) << file.status();
    std::string bytes((*file)->Size(), '\0');
    EXPECT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    image[name] = std::move(bytes);
  }
  return image;
}

void WriteImage(const L2Image& image, l2::SimulatedDisk* disk,
                const std::string& directory) {
  ASSERT_TRUE(disk->CreateDirectories(directory).ok());
  for (const auto& [name, bytes] : image) {
    auto file =
        disk->Open(absl::StrCat(directory, "/", name), {.create = true});
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Resize(bytes.size()).ok());
    ASSERT_TRUE(bytes.empty() || (*file)->WriteAt(0, bytes).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  ASSERT_TRUE(disk->SyncDirectory(directory).ok());
  ASSERT_TRUE(disk->SyncDirectory("/").ok());
}

absl::Status ImageFile::ReadAt(uint64_t offset, absl::Span<char> out) const {
  if (offset > bytes_->size() || out.size() > bytes_->size() - offset) {
    return absl::OutOfRangeError(path_);
  }
  std::copy_n(bytes_->data() + offset, out.size(), out.data());
  return absl::OkStatus();
}

absl::Status ImageFile::WriteAt(uint64_t, absl::string_view) {
  return absl::FailedPreconditionError(path_);
}

absl::Status ImageFile::Resize(uint64_t) {
  return absl::FailedPreconditionError(path_);
}

absl::StatusOr<const char*> ImageFile::View(uint64_t offset,
                                            uint64_t length) const {
  if (offset > bytes_->size() || length > bytes_->size() - offset) {
    return absl::OutOfRangeError(path_);
  }
  return bytes_->data() + offset;
}

const L2Anatomy::Blob* L2Anatomy::Find(const std::string& ns,
                                       const std::string& key) const {
  for (const auto& [record_key, blob] : blobs) {
    if (blob.name == Name(ns, key)) return &blob;
  }
  return nullptr;
}

namespace {

// The pages on the way to a key.
std::vector<uint64_t> PathOf(const l2::PageSource& pages, ChildRef ref,
                             absl::string_view key) {
  std::vector<uint64_t> path;
  while (ref.page != 0) {
    path.push_back(ref.page);
    const auto page = pages.Get(ref);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok() || page->level() == 0) break;
    ref = page->child(page->ChildFor(key));
  }
  return path;
}

std::vector<uint64_t> PagesOf(const l2::PageSource& pages,
                              const ChildRef& root) {
  std::vector<uint64_t> found;
  EXPECT_TRUE(Tree(&pages, root)
                  .VisitPages(
                      [&](const Tree::PageInfo& page) {
                        found.push_back(page.ref.page);
                      },
                      [](const Tree::Damage& d) { ADD_FAILURE() << d.status; })
                  .ok());
  return found;
}

std::map<uint32_t, std::string> ReadSystem(const l2::PageSource& pages,
                                           const ChildRef& root, L2Anatomy* a) {
  std::map<uint32_t, std::string> names;
  const Tree system(&pages, root);
  EXPECT_TRUE(system
                  .VisitPages(
                      [&](const Tree::PageInfo& info) {
                        const auto leaf = pages.Get(info.ref);
                        if (info.level > 0 || leaf->size() == 0) return;
                        a->system_leaves[info.ref.page] = {
                            std::string(leaf->key(0)),
                            std::string(leaf->key(leaf->size() - 1))};
                      },
                      [](const Tree::Damage&) {})
                  .ok());
  EXPECT_TRUE(system
                  .Walk("",
                        [&](absl::string_view key, absl::string_view value) {
                          if (key[0] != l2::kNamespaceTag) return false;
                          names[l2::DecodeNamespaceEntry(value)->id] =
                              std::string(key.substr(1));
                          return true;
                        })
                  .ok());
  return names;
}

}  // namespace

L2Anatomy Dissect(const L2Image& image) {
  L2Anatomy a;
  const ImageFile meta(&image.at("meta"));
  for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
    bool has_magic;
    const auto s = l2::ReadSuperblock(meta, page, &has_magic);
    if (!s.ok()) continue;
    a.superblocks.push_back(*s);
    if (s->epoch > a.superblock.epoch) a.superblock = *s;
  }
  const l2::MetaPages pages(&meta, meta.Size() / kPageBytes + 1);
  a.records_pages = PagesOf(pages, a.superblock.records);
  a.due_pages = PagesOf(pages, a.superblock.due);
  a.age_pages = PagesOf(pages, a.superblock.age);
  a.system_pages = PagesOf(pages, a.superblock.system);
  std::map<uint32_t, std::string> names =
      ReadSystem(pages, a.superblock.system, &a);
  EXPECT_TRUE(
      Tree(&pages, a.superblock.records)
          .Walk("",
                [&](absl::string_view key, absl::string_view value) {
                  a.records[std::string(key)] = std::string(value);
                  L2Anatomy::Blob& blob = a.blobs[std::string(key)];
                  blob.record = *l2::DecodeRecord(value);
                  absl::string_view user_key;
                  EXPECT_TRUE(l2::SplitRecordKey(key, &blob.ns_id, &user_key));
                  blob.name = {names[blob.ns_id], std::string(user_key)};
                  blob.path = PathOf(pages, a.superblock.records, key);
                  blob.age_path = PathOf(pages, a.superblock.age,
                                         l2::OrderedKey(blob.record.rank, key));
                  return true;
                })
          .ok());
  return a;
}

std::map<std::string, std::string> ApplyDelta(const L2Anatomy& before,
                                              const L2Image& now) {
  std::map<std::string, std::string> replica = before.records;
  const ImageFile meta(&now.at("meta"));
  const auto root = l2::ReadNewestSuperblock(meta);
  EXPECT_TRUE(root.ok()) << root.status();
  const l2::MetaPages pages(&meta, meta.Size() / kPageBytes + 1);
  EXPECT_TRUE(Tree(&pages, root->records)
                  .VisitLeavesSince(
                      before.superblock.epoch,
                      [&](const Tree::LeafInfo& info) {
                        const auto end =
                            info.high.empty()
                                ? replica.end()
                                : replica.lower_bound(std::string(info.high));
                        replica.erase(
                            replica.lower_bound(std::string(info.low)), end);
                        for (int i = 0; i < info.leaf.size(); ++i) {
                          replica[std::string(info.leaf.key(i))] =
                              std::string(info.leaf.value(i));
                        }
                        return absl::OkStatus();
                      })
                  .ok());
  return replica;
}

}  // namespace larder::cache
