#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/blob.h"
#include "cache/check.h"
#include "cache/hlc.h"
#include "cache/l2/btree.h"
#include "cache/l2/chain.h"
#include "cache/l2/journal.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/space_map.h"
#include "cache/l2/superblock.h"
#include "cache/l2/synopsis_builder.h"
#include "cache/l2/system_tree.h"
#include "cache/name_hash.h"
#include "cache/tombstone.h"
#include "tests/fuzz/forged_page.h"
#include "tests/fuzz/seeds.h"

namespace larder::tests {
namespace {

using namespace cache::l2;  // NOLINT(google-build-using-namespace)
using cache::Hlc;
using cache::Tombstone;
using cache::TombstoneKind;

constexpr int64_t kNow = 1'700'000'000'000;  // Unix milliseconds.
constexpr uint64_t kEpoch = 5;

std::vector<Seed> SuperblockSeeds() {
  const auto ref = [](uint64_t page) {
    return ChildRef{page, kEpoch, page * 77, page};
  };
  Superblock s;
  for (size_t i = 0; i < s.lineage.size(); ++i) {
    s.lineage[i] = static_cast<uint8_t>(i);
  }
  s.epoch = kEpoch;
  s.hlc = Hlc::FromUnixMillis(kNow);
  s.records = ref(10);
  s.due = ref(11);
  s.age = ref(12);
  s.system = ref(13);
  s.record_count = 10;
  s.raw_bytes = 5000;
  s.stored_bytes = 2000;
  s.content_digest = 99;
  s.meta_pages = 64;
  s.blob_units = 1000;
  s.next_namespace_id = 3;
  Superblock empty;
  empty.epoch = 1;
  empty.unsynced = true;
  // A page, and starts of pages: the target adds zeros and the checksum.
  return {{"superblock_fuzz", "whole", EncodeSuperblock(s)},
          {"superblock_fuzz", "start", EncodeSuperblock(s).substr(0, 250)},
          {"superblock_fuzz", "empty", EncodeSuperblock(empty).substr(0, 250)}};
}

// Pages of one tree, parents behind their children.
class TreeOfPages {
 public:
  using Entry = std::pair<std::string, std::string>;

  ChildRef AddLeaf(const std::vector<Entry>& entries) {
    PageBuilder builder(0);
    for (const auto& [key, value] : entries) builder.AddValue(key, value);
    return Add(&builder);
  }
  ChildRef AddInner(
      int level, const std::vector<std::pair<std::string, ChildRef>>& entries) {
    PageBuilder builder(level);
    for (const auto& [low, child] : entries) builder.AddChild(low, child);
    return Add(&builder);
  }
  // As page_fuzz takes it.
  const std::string& packed_page(const ChildRef& ref) const {
    return packed_[ref.page - 1];
  }
  // As btree_fuzz takes it.
  std::string packed() const {
    std::string out(1, static_cast<char>(packed_.size() - 1));
    for (const std::string& page : packed_) out += page;
    return out;
  }

 private:
  ChildRef Add(PageBuilder* builder) {
    const ChildRef ref = builder->Finish(packed_.size() + 1, kEpoch);
    packed_.push_back(PackPage(builder->bytes()));
    return ref;
  }

  std::vector<std::string> packed_;
};

// A change of btree_fuzz's batch. `times`: 1 to 4, repeats the value.
std::string Op(Resolution what, int times, absl::string_view key,
               absl::string_view value) {
  // The smallest byte of this quarter that says `what`.
  int byte = 64 * (times - 1);
  while (byte % 3 != static_cast<int>(what)) ++byte;
  return absl::StrCat(std::string(1, static_cast<char>(byte)),
                      std::string(1, static_cast<char>(key.size())), key,
                      std::string(1, static_cast<char>(value.size())), value);
}

std::vector<Seed> TreeSeeds() {
  std::vector<Seed> seeds;
  TreeOfPages low;
  const ChildRef leaf = low.AddLeaf(
      {{"", "empty"}, {"key1", "one"}, {"key12", ""}, {"key2", "two"}});
  const ChildRef right = low.AddLeaf({{"m", "1"}, {"n", "2"}, {"o", "3"}});
  const ChildRef root = low.AddInner(1, {{"", leaf}, {"m", right}});
  seeds.push_back({"page_fuzz", "leaf", low.packed_page(leaf)});
  seeds.push_back({"page_fuzz", "inner", low.packed_page(root)});
  PageBuilder full(0);
  for (int i = 0; full.Fits("0000", 8); ++i) {
    full.AddValue(absl::StrCat(absl::Hex(i, absl::kZeroPad4)), "12345678");
  }
  full.Finish(9, kEpoch);
  seeds.push_back({"page_fuzz", "whole", std::string(full.bytes())});
  seeds.push_back({"btree_fuzz", "two_levels",
                   low.packed() + Op(Resolution::kPut, 1, "key3", "three") +
                       Op(Resolution::kErase, 1, "m", "") +
                       Op(Resolution::kKeep, 1, "n", "")});

  TreeOfPages high;
  std::vector<std::pair<std::string, ChildRef>> inner;
  for (const char* name : {"", "g", "p"}) {
    const std::string first(name);
    const ChildRef a = high.AddLeaf({{first + "a", "1"}, {first + "b", "2"}});
    const ChildRef b = high.AddLeaf({{first + "c", "3"}, {first + "d", "4"}});
    inner.emplace_back(first, high.AddInner(1, {{first, a}, {first + "c", b}}));
  }
  high.AddInner(2, inner);
  std::string erase_all;
  for (const auto& [first, ref] : inner) {
    for (const char* last : {"a", "b", "c", "d"}) {
      erase_all += Op(Resolution::kErase, 1, first + last, "");
    }
  }
  seeds.push_back({"btree_fuzz", "three_levels", high.packed() + erase_all});

  TreeOfPages wide;  // Two entries fill a page: any put splits it.
  wide.AddLeaf({{"a", std::string(1980, '\0')}, {"c", std::string(1980, 'c')}});
  const std::string piece(250, 'p');
  seeds.push_back({"btree_fuzz", "splits",
                   wide.packed() + Op(Resolution::kPut, 4, "b", piece) +
                       Op(Resolution::kPut, 4, "d", piece)});
  TreeOfPages empty;
  empty.AddLeaf({});
  seeds.push_back({"btree_fuzz", "empty",
                   empty.packed() + Op(Resolution::kPut, 1, "k", "v")});
  return seeds;
}

Record SomeRecord() {
  Record r;
  r.hlc = Hlc::FromUnixMillis(kNow);
  r.rank = cache::l2::kRankMin + 300;
  r.expiry = {kNow + 60'000, 60'000, 500};
  r.last_access_unix_ms = kNow;
  r.version = 99;
  r.priority = 3;
  r.l1_admission = cache::L1Admission::kNever;
  r.raw_bytes = 5000;
  r.stored_bytes = 2000;
  r.header_bytes = 56;  // As if there were attributes.
  r.payload_checksum = 0x1234'5678'9abc'def0;
  r.invalidation_hashes = {1, 2, 3};
  r.extents = {{7, 10}, {100, 7}};  // 17 units for 2,056 bytes.
  return r;
}

std::vector<Seed> RecordSeeds() {
  Record plain;  // As most are.
  plain.hlc = Hlc::FromUnixMillis(kNow);
  plain.rank = plain.hlc.value;
  plain.last_access_unix_ms = kNow;
  plain.raw_bytes = 5000;
  plain.stored_bytes = 2000;
  plain.frame_is_zstd = true;
  plain.payload_checksum = 0x1234'5678'9abc'def0;
  plain.extents = {{7, 16}};
  Record inlined = SomeRecord();
  inlined.extents.clear();
  inlined.raw_bytes = inlined.stored_bytes = 100;
  inlined.inline_chain = std::string(156, 'c');
  const std::string key = RecordKey(7, "some/key");
  return {{"record_fuzz", "extents", EncodeRecord(SomeRecord())},
          {"record_fuzz", "inline", EncodeRecord(inlined)},
          {"record_fuzz", "plain", EncodeRecord(plain)},
          {"key_fuzz", "record", key},
          {"key_fuzz", "ordered", OrderedKey(SomeRecord().hlc.value, key)},
          {"key_fuzz", "due", EncodeDueEntry(DueEntryOf(SomeRecord()))},
          {"key_fuzz", "synopsis", SynopsisEntryKey(7, 2)}};
}

std::string Chain(absl::string_view blob, int level, bool attributes) {
  const EncodedFrames e = EncodeFrames(blob, level);
  ChainHeader h;
  h.name_hash = cache::NameHash("ns", "key");
  h.raw_bytes = blob.size();
  h.stored_bytes = e.stored_bytes;
  h.frames = e.frames;
  if (attributes) {
    h.tags = {"a", "product:42"};
    h.dependencies = {"template"};
    h.metadata = {{"type", "text/html"}, {"empty", ""}};
  }
  std::string chain = EncodeChainHeader(h);
  for (const absl::string_view stored : e.stored) {
    chain += std::string(stored);
  }
  return chain;
}

std::vector<Seed> ChainSeeds() {
  std::string text;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&text, "line ", i % 10, "\n");
  return {{"chain_fuzz", "empty", Chain("", 0, true)},
          {"chain_fuzz", "plain", Chain("some bytes", 0, true)},
          {"chain_fuzz", "zstd", Chain(text, 1, true)},
          {"chain_fuzz", "frames", Chain(std::string(600'000, 'x'), 1, false)}};
}

std::string HashBytes() {
  const uint64_t hash = cache::TagHash("product:42");
  return {reinterpret_cast<const char*>(&hash), sizeof(hash)};
}

// Numbers as space_fuzz takes them.
std::string U16(uint64_t number) {
  return {static_cast<char>(number), static_cast<char>(number >> 8)};
}

// The parts of an input of space_fuzz.
enum class SpaceOp {
  kAllocate,
  kAllocateUnits,
  kRelease,
  kDisown,
  kMarkUsed,
  kGrow,
  kFlush,
  kOpenAgain,
};
std::string Do(SpaceOp what, SpaceMap::Lane lane, uint64_t where,
               uint64_t how_many) {
  const int byte = 2 * static_cast<int>(what) + static_cast<int>(lane);
  return absl::StrCat(std::string(1, static_cast<char>(byte)), U16(where),
                      U16(how_many));
}
std::string SpaceHead(bool fresh, uint64_t blob_units, uint64_t meta_units,
                      int sectors) {
  return absl::StrCat(std::string(1, fresh ? '\1' : '\0'), U16(blob_units - 1),
                      U16(meta_units - 1),
                      std::string(1, static_cast<char>(sectors)));
}
// Bit 0 of `flags`: the target adds the header. Bit 1: it sets what is missing.
std::string Sector(int flags, absl::string_view bytes) {
  return absl::StrCat(std::string(1, static_cast<char>(flags)),
                      U16(bytes.size()), bytes);
}

// One sector of blobs and part of another, and part of one of meta: more would
// only take longer.
constexpr uint64_t kBlobUnits = SpaceMap::kUnitsPerSector + 100;
constexpr uint64_t kMetaUnits = 500;

// What two maps leave in `space`: most units used, in extents of which every
// third is free again.
std::string WrittenSpace() {
  SimulatedDisk disk;
  const auto file =
      disk.Open("/space", {.create = true, .size_bytes_max = 1 << 20});
  LARDER_CHECK(file.ok());
  const auto write = [&](SpaceMap::Lane lane, uint64_t capacity) {
    const auto map =
        SpaceMap::Open(file->get(), lane, capacity, /*fresh=*/true);
    LARDER_CHECK(map.ok());
    for (uint64_t i = 1; i <= 30; ++i) {
      const auto extents =
          (*map)->Allocate(i * capacity / 500, /*extents_max=*/1);
      LARDER_CHECK(extents.ok());
      if (i % 3 == 0) (*map)->Release(extents->front());
    }
    LARDER_CHECK((*map)->FlushDirty().ok());
  };
  write(SpaceMap::Lane::kBlobs, kBlobUnits);
  write(SpaceMap::Lane::kMeta, kMetaUnits);
  std::string bytes((*file)->Size(), '\0');
  LARDER_CHECK((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
  return bytes;
}

std::vector<Seed> SpaceSeeds() {
  using Lane = SpaceMap::Lane;
  const std::string written = WrittenSpace();
  std::string whole = SpaceHead(/*fresh=*/false, kBlobUnits, kMetaUnits, 3);
  for (size_t at = 0; at < written.size(); at += SpaceMap::kSectorBytes) {
    whole += Sector(0, written.substr(at, SpaceMap::kSectorBytes));
  }
  whole += Do(SpaceOp::kAllocate, Lane::kBlobs, /*extents_max - 1*/ 15, 700) +
           Do(SpaceOp::kAllocateUnits, Lane::kMeta, 0, 40) +
           Do(SpaceOp::kRelease, Lane::kBlobs, 0, 300) +
           Do(SpaceOp::kFlush, Lane::kBlobs, 0, 0) +
           Do(SpaceOp::kAllocate, Lane::kBlobs, 0, 20);

  const std::string fresh =
      SpaceHead(/*fresh=*/true, 500, 64, 0) +
      Do(SpaceOp::kAllocate, Lane::kBlobs, 0, 9) +
      Do(SpaceOp::kAllocate, Lane::kBlobs, 0, 499) +
      Do(SpaceOp::kGrow, Lane::kBlobs, 0, 4000) +
      Do(SpaceOp::kAllocate, Lane::kBlobs, 3, 3000) +
      Do(SpaceOp::kMarkUsed, Lane::kMeta, 10, 5) +
      Do(SpaceOp::kAllocateUnits, Lane::kMeta, 0, 58) +
      Do(SpaceOp::kOpenAgain, Lane::kBlobs, /*killed*/ 1, 0);

  // The first sector of blobs is there, that of meta is a hole, and of the
  // second of blobs there is a part of another one.
  const std::string damaged =
      SpaceHead(/*fresh=*/false, kBlobUnits, kMetaUnits, 3) +
      Sector(1, "\x0f") + Sector(0, "") + Sector(0, written.substr(0, 64)) +
      Do(SpaceOp::kAllocate, Lane::kMeta, 0, 0) +
      Do(SpaceOp::kAllocate, Lane::kBlobs, 7, 3900) +
      Do(SpaceOp::kDisown, Lane::kMeta, 0, 100) +
      Do(SpaceOp::kRelease, Lane::kMeta, 50, 100) +
      Do(SpaceOp::kOpenAgain, Lane::kMeta, /*flushed*/ 0, 0) +
      Do(SpaceOp::kAllocateUnits, Lane::kMeta, 0, 99);

  // Marks past the capacity, which growth must not find.
  const std::string grown =
      SpaceHead(/*fresh=*/false, 100, 100, 2) + Sector(3, "\x01") +
      Sector(3, std::string(12, '\0')) +
      Do(SpaceOp::kGrow, Lane::kMeta, 0, 200) +
      Do(SpaceOp::kAllocate, Lane::kMeta, 7, 250) +
      Do(SpaceOp::kOpenAgain, Lane::kMeta, /*killed*/ 1, 0);
  return {{"space_fuzz", "whole", whole},
          {"space_fuzz", "fresh", fresh},
          {"space_fuzz", "damaged", damaged},
          {"space_fuzz", "grown", grown}};
}

std::vector<Seed> InvalidationSeeds() {
  const Hlc hlc = Hlc::FromUnixMillis(kNow);
  const Tombstone flush = {TombstoneKind::kNamespace, "pages", "", hlc};
  const Tombstone tag = {TombstoneKind::kTag, "pages", HashBytes(), hlc};
  const Tombstone prefix = {TombstoneKind::kPrefix, "pages", "a/", hlc};
  const Tombstone key = {TombstoneKind::kKey, "pages", "a/b", hlc};
  const auto entry = [](const std::string& name, const Tombstone& tombstone) {
    return Seed{"journal_fuzz", name,
                EncodeJournalEntry({kEpoch, tombstone, 3})};
  };
  const auto pair = [](const std::string& name, const std::string& entry_key,
                       const std::string& value) {
    return Seed{"system_tree_fuzz", name,
                std::string(1, static_cast<char>(entry_key.size())) +
                    entry_key + value};
  };
  const NamespaceEntry pages = {.id = 3,
                                .generation = 2,
                                .flushed_at = hlc,
                                .records = 10,
                                .raw_bytes = 5000,
                                .stored_bytes = 2000,
                                .synopsis_keys_max = 1024,
                                .synopsis_keys = 10};
  NamespaceEntry forgetful = pages;
  forgetful.forgotten_through = hlc;
  SynopsisBuilder synopsis(2000);
  synopsis.Add(cache::NameHash("ns", "key"));
  return {
      entry("flush", flush),
      entry("tag", tag),
      entry("prefix", prefix),
      entry("key", key),
      pair("namespace", NamespaceEntryKey("pages"),
           EncodeNamespaceEntry(pages)),
      pair("forgetful", NamespaceEntryKey("pages"),
           EncodeNamespaceEntry(forgetful)),
      pair("tag", TombstoneEntryKey(3, tag),
           EncodeTombstoneEntry(tag, /*spent=*/false)),
      pair("prefix", TombstoneEntryKey(3, prefix),
           EncodeTombstoneEntry(prefix, /*spent=*/false)),
      pair("spent", TombstoneEntryKey(3, prefix),
           EncodeTombstoneEntry(prefix, /*spent=*/true)),
      pair("synopsis", SynopsisEntryKey(3, 1), std::string(synopsis.Chunk(1))),
  };
}

}  // namespace

std::vector<Seed> CacheSeeds() {
  std::vector<Seed> seeds;
  for (std::vector<Seed> (*const make)() :
       {SuperblockSeeds, TreeSeeds, RecordSeeds, ChainSeeds, SpaceSeeds,
        InvalidationSeeds}) {
    for (Seed& seed : make()) seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace larder::tests
