// The parts of a commit that know nothing of the store around them.
#ifndef LARDER_CACHE_L2_COMMIT_MERGE_H_
#define LARDER_CACHE_L2_COMMIT_MERGE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/key_arena.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/record.h"
#include "cache/l2/space_map.h"
#include "cache/l2/staging.h"

namespace larder::cache::l2 {

// The pages that one commit writes and unlinks. Single-owner.
class CommitPages : public PageSink {
 public:
  // `grow` makes `meta` larger by so many pages. Borrows everything.
  CommitPages(File* meta, SpaceMap* map, MetaPages* pages,
              absl::FunctionRef<absl::Status(uint64_t pages)> grow)
      : meta_(meta), map_(map), pages_(pages), grow_(grow) {}

  absl::StatusOr<uint64_t> Allocate() override;
  absl::Status Write(uint64_t page, absl::string_view bytes) override;
  void Free(uint64_t page) override { freed_.push_back(page); }

  const std::vector<uint64_t>& allocated() const { return allocated_; }
  const std::vector<uint64_t>& freed() const { return freed_; }
  // Marked and not handed out.
  const std::vector<uint64_t>& spare() const { return spare_; }

 private:
  File* const meta_;
  SpaceMap* const map_;
  MetaPages* const pages_;
  const absl::FunctionRef<absl::Status(uint64_t)> grow_;
  std::vector<uint64_t> spare_, allocated_, freed_;
};

// A batch of changes of one tree, in any order. Single-owner.
class TreeChanges {
 public:
  // Copies what it is given.
  void Put(absl::string_view key, absl::string_view value);
  void Erase(absl::string_view key);
  // Borrows the key, until Apply() has returned.
  void EraseBorrowed(absl::string_view key) { Add(key, {}, false); }
  // The same at OrderedKey(at, record_key).
  void PutAt(uint64_t at, absl::string_view record_key,
             absl::string_view value);
  void EraseAt(uint64_t at, absl::string_view record_key);
  // Merges the batch. Where a key is both erased and put, the put wins.
  absl::StatusOr<ChildRef> Apply(const PageSource* source, PageSink* sink,
                                 const ChildRef& root, uint64_t epoch);

 private:
  struct Change {
    absl::string_view value;
    bool put;
  };
  void Add(absl::string_view key, absl::string_view value, bool put);

  KeyArena arena_;
  std::vector<absl::string_view> keys_;  // With `changes_`.
  std::vector<Change> changes_;
};

// Merges staged changes into the records tree and works out what that means
// for everything else. Single-owner.
class RecordsMerge {
 public:
  using Changes =
      std::vector<std::pair<absl::string_view, const StagedChange*>>;
  using NameOf = absl::FunctionRef<const std::string&(uint32_t ns_id)>;

  struct NamespaceDelta {
    int64_t records = 0;
    int64_t raw_bytes = 0;
    int64_t stored_bytes = 0;
    std::vector<absl::string_view> added_keys;  // That were absent.
  };

  // `changes` sorted by key; `swept`: keys of the due tree, in the order they
  // were swept. What is both put and swept is put. All views must outlive the
  // merge.
  RecordsMerge(Changes changes, std::vector<absl::string_view> swept,
               NameOf name_of);

  absl::StatusOr<ChildRef> Apply(const PageSource* source, PageSink* sink,
                                 const ChildRef& root, uint64_t epoch);

  // Valid after Apply().
  TreeChanges& due() { return due_; }
  TreeChanges& age() { return age_; }
  const std::map<uint32_t, NamespaceDelta>& deltas() const { return deltas_; }
  const std::vector<Extent>& freed() const { return freed_; }
  // To be added to the content digest, modulo 2^128.
  absl::uint128 digest_delta() const { return digest_delta_; }

 private:
  // What one op of the batch is: a change, or the removal of a record that was
  // swept.
  struct Item {
    const StagedChange* change;  // Null: swept.
    size_t swept;                // Which one.
  };
  void AddChange(size_t i);
  void AddSwept(absl::string_view record_key, size_t i);
  Resolution Resolve(size_t i, std::optional<absl::string_view> existing);
  Resolution ResolveSwept(absl::string_view key, size_t i, const Record& old);
  void Unlink(absl::string_view record_key, const Record& record);
  void Link(absl::string_view record_key, const Record& record);
  void Account(absl::string_view record_key, const Record& record, int sign);

  const Changes changes_;
  const std::vector<absl::string_view> swept_;
  std::vector<bool> is_gone_;  // With `swept_`: its record went.
  const NameOf name_of_;
  std::vector<std::string> values_;
  std::vector<TreeOp> ops_;  // With `items_`.
  std::vector<Item> items_;
  absl::Status bad_;  // The first record that does not decode.
  TreeChanges due_, age_;
  std::map<uint32_t, NamespaceDelta> deltas_;
  std::vector<Extent> freed_;
  absl::uint128 digest_delta_ = 0;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_COMMIT_MERGE_H_
