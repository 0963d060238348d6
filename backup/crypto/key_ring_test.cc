#include "backup/crypto/key_ring.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/crypto/secret_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup::crypto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCounted[] =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

TEST(KeyRingTest, TheFirstSealsAndAllOpen) {
  const std::string other(64, 'B');
  const auto ring = KeyRing::Parse(
      absl::StrCat("# of 2026\n\n ", other, " \n", kCounted), "keys");
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->name(), "keys");
  EXPECT_EQ((*ring)->first().key.bytes(), std::string(32, '\xbb'));
  const std::string id = NamedKey(SecretKey(std::string(32, '\xbb'))).id;
  EXPECT_EQ((*ring)->Find(id), &(*ring)->first());
  EXPECT_EQ((*ring)->Find("12345678"), nullptr);
  // Python: hmac.new(bytes(range(32)), b"larder key id 1", "sha256").
  const auto counted = KeyRing::Parse(kCounted, "one");
  EXPECT_EQ(PrintKeyId((*counted)->first().id), "905a2861c10eca01");
  EXPECT_NE((*ring)->Find((*counted)->first().id), nullptr);
  EXPECT_EQ((*ring)->Find(""), nullptr);
}

TEST(KeyRingTest, WhatIsNoKeyIsNotShown) {
  const std::string brief = absl::StrCat(std::string(62, 'a'));
  for (const std::string& text :
       {std::string(), std::string("# none\n"), brief,
        absl::StrCat(brief, "aaa"), absl::StrCat(brief, "xx"),
        absl::StrCat(kCounted, "\n", kCounted)}) {
    const absl::Status status = KeyRing::Parse(text, "keys").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("keys: "));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("aaaa")));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0102")));
  }
}

}  // namespace
}  // namespace larder::backup::crypto
