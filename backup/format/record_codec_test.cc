#include "backup/format/record_codec.h"

#include <string>

#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

Record SomeRecord() {
  Record m;
  m.set_ns("ns");
  m.set_key("key");
  m.set_raw_bytes(30);
  for (const uint32_t size : {20u, 10u}) {
    m.add_frame_stored_bytes(size);
    m.add_frame_raw_bytes(size);
    m.add_frame_checksums(size);
    m.add_frame_flags(0);
  }
  return m;
}

template <typename Change>
absl::StatusCode After(Change change) {
  Record m = SomeRecord();
  change(&m);
  return FromMessage(m).status().code();
}

TEST(RecordCodecTest, RoundTrip) {
  const auto record = FromMessage(SomeRecord());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->raw_bytes, 30u);
  EXPECT_EQ(record->stored_bytes, 30u);
  ASSERT_EQ(record->frames.size(), 2u);
  Record back;
  ToMessage(*record, &back);
  EXPECT_EQ(SerializeMessage(back), SerializeMessage(SomeRecord()));
}

TEST(RecordCodecTest, EveryFieldIsCheckedAgainstItsLimit) {
  const auto bad = absl::StatusCode::kDataLoss;
  EXPECT_EQ(After([](Record* m) { m->set_ns(""); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_ns(std::string(256, 'n')); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_ns("a\nb"); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_key(""); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_key(std::string(1025, 'k')); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_priority(256); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_l1_admission(3); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_expires_at_unix_ms(-1); }), bad);
  EXPECT_EQ(After([](Record* m) {
              for (int i = 0; i < 33; ++i) m->add_tags("t");
            }),
            bad);
  EXPECT_EQ(After([](Record* m) { m->add_tags(std::string(256, 't')); }), bad);
  EXPECT_EQ(After([](Record* m) {
              m->add_metadata()->set_value(std::string(4097, 'v'));
            }),
            bad);
  EXPECT_EQ(After([](Record* m) { m->set_raw_bytes(31); }), bad);
  EXPECT_EQ(After([](Record* m) { m->add_frame_checksums(1); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_frame_flags(0, 2); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_frame_stored_bytes(0, 0); }), bad);
  EXPECT_EQ(After([](Record* m) { m->set_frame_raw_bytes(0, 19); }), bad);
  EXPECT_EQ(After([](Record* m) {
              m->set_frame_raw_bytes(0, 1u << 31);
              m->set_frame_flags(0, 1);
            }),
            bad);
}

TEST(RecordCodecTest, Tombstones) {
  Tombstone m;
  m.set_ns("ns");
  m.set_kind(static_cast<uint32_t>(cache::TombstoneKind::kPrefix));
  m.set_value("a/");
  EXPECT_TRUE(FromMessage(m).ok());
  m.set_kind(static_cast<uint32_t>(cache::TombstoneKind::kTag));
  EXPECT_FALSE(FromMessage(m).ok());  // Not eight bytes.
  m.set_value("12345678");
  EXPECT_TRUE(FromMessage(m).ok());
  for (const uint32_t kind : {0u, 1u, 5u, 6u, 256u + 2u, 256u + 4u}) {
    m.set_kind(kind);
    EXPECT_FALSE(FromMessage(m).ok()) << kind;
  }
}

// An L2 could not write down what is newer, or nothing newer than that.
TEST(RecordCodecTest, TimesOfAFarFutureAreErrors) {
  const auto bad = absl::StatusCode::kDataLoss;
  EXPECT_EQ(After([](Record* m) { m->set_hlc(kHlcMax); }),
            absl::StatusCode::kOk);
  EXPECT_EQ(After([](Record* m) { m->set_hlc(kHlcMax + 1); }), bad);
  Namespace ns;
  ns.set_name("ns");
  ns.set_flushed_at(kHlcMax);
  EXPECT_TRUE(FromMessage(ns).ok());
  ns.set_flushed_at(kHlcMax + 1);
  EXPECT_EQ(FromMessage(ns).status().code(), bad);
  ns.set_flushed_at(1);
  ns.set_generation(~uint64_t{0});
  EXPECT_EQ(FromMessage(ns).status().code(), bad);
  Tombstone t;
  t.set_ns("ns");
  t.set_kind(static_cast<uint32_t>(cache::TombstoneKind::kPrefix));
  t.set_value("a/");
  t.set_hlc(kHlcMax);
  EXPECT_TRUE(FromMessage(t).ok());
  t.set_hlc(~uint64_t{0});
  EXPECT_EQ(FromMessage(t).status().code(), bad);
}

}  // namespace
}  // namespace larder::backup::format
