#include "backup/format/message.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

using ::testing::HasSubstr;

Records SomeRecords() {
  Records records;
  records.set_first_record(7);
  for (int i = 0; i < 3; ++i) {
    Record* record = records.add_records();
    record->set_ns("ns");
    record->set_key(absl::StrCat("key", i));
    record->set_hlc(static_cast<uint64_t>(i));
    record->add_tags("tag");
    MetadataPair* pair = record->add_metadata();
    pair->set_key("k");
    pair->set_value("v");
    record->add_frame_checksums(1);
    record->add_frame_flags(1);
  }
  return records;
}

TEST(MessageTest, RoundTrip) {
  const std::string bytes = SerializeMessage(SomeRecords());
  Records parsed;
  ASSERT_TRUE(ParseMessage(bytes, &parsed).ok());
  EXPECT_EQ(SerializeMessage(parsed), bytes);
}

TEST(MessageTest, UnknownFieldsRefuseBelow1000AndPassFromThere) {
  const std::string bytes = SerializeMessage(SomeRecords());
  Records parsed;
  const absl::Status low = ParseMessage(bytes + "\xb8\x3e\x01", &parsed);
  EXPECT_EQ(low.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(low.message()), HasSubstr("field 999"));
  EXPECT_TRUE(ParseMessage(bytes + "\xc0\x3e\x01", &parsed).ok());
  // Inside a record: `records` is field 4, the unknown one field 999 again.
  EXPECT_EQ(
      ParseMessage(bytes + std::string("\x22\x03\xb8\x3e\x01"), &parsed).code(),
      absl::StatusCode::kFailedPrecondition);
}

TEST(MessageTest, CountsFieldsBeforeItAllocates) {
  // Two bytes on the wire each, an object in memory each.
  std::string many;
  for (int64_t i = 0; i <= kMessageItemsMax; ++i)
    many += std::string("\x22\0", 2);
  Records parsed;
  const absl::Status status = ParseMessage(many, &parsed);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(parsed.records_size(), 0);
  EXPECT_TRUE(ParseMessage(many.substr(2), &parsed).ok());
}

TEST(MessageTest, EveryFlipAndTruncationReturns) {
  const std::string bytes = SerializeMessage(SomeRecords());
  Records parsed;
  for (size_t size = 0; size < bytes.size(); ++size) {
    ParseMessage(absl::string_view(bytes).substr(0, size), &parsed)
        .IgnoreError();
  }
  int refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    if (!ParseMessage(damaged, &parsed).ok()) ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST(MessageTest, RandomBytesReturn) {
  std::mt19937_64 random(1);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 60, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    Manifest manifest;
    Files files;
    if (!ParseMessage(bytes, &manifest).ok()) ++refused;
    if (!ParseMessage(bytes, &files).ok()) ++refused;
  }
  EXPECT_GT(refused, 30'000);
}

}  // namespace
}  // namespace larder::backup::format
