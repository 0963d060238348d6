#include "tools/cli/json_writer.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

std::string Quoted(absl::string_view text) {
  return JsonArray().String(text).Text();
}

TEST(JsonWriter, KeepsTheOrder) {
  JsonObject object;
  object.String("b", "x").Int("a", -5).Bool("t", true).Number("r", 2.5);
  object.Object("o", JsonObject().Int("n", 1));
  object.Array("l", JsonArray().String("p").Object(JsonObject()));
  EXPECT_EQ(object.Text(),
            R"({"b":"x","a":-5,"t":true,"r":2.5,"o":{"n":1},"l":["p",{}]})");
}

TEST(JsonWriter, LargeNumbersAreStrings) {
  JsonObject object;
  object.Id("id", UINT64_MAX).Digest("d", absl::MakeUint128(1, 0xABC));
  EXPECT_EQ(object.Text(), R"({"id":"18446744073709551615",)"
                           R"("d":"00000000000000010000000000000abc"})");
}

TEST(JsonWriter, NotANumberIsNull) {
  EXPECT_EQ(JsonObject().Number("x", std::nan("")).Text(), R"({"x":null})");
  EXPECT_EQ(JsonObject().Number("x", 1.0 / 0.0).Text(), R"({"x":null})");
}

TEST(JsonWriter, Escapes) {
  EXPECT_EQ(Quoted("a\"b\\c\n\t"), R"(["a\"b\\c\n\t"])");
  EXPECT_EQ(Quoted(absl::string_view("\0\x1f\x7f", 3)),
            R"(["\u0000\u001f\u007f"])");
  EXPECT_EQ(Quoted("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA5\xAB"),
            "[\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA5\xAB\"]");
}

TEST(JsonWriter, ReplacesWhatIsNotUtf8) {
  for (absl::string_view bad :
       {"\xFF", "\x80", "\xC0\xAF", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    EXPECT_NE(Quoted(bad).find("\\ufffd"), std::string::npos);
    for (char c : Quoted(bad)) EXPECT_LT(static_cast<unsigned char>(c), 0x80);
  }
}

TEST(JsonWriter, BytesAddBase64OnlyWhenNeeded) {
  EXPECT_EQ(JsonObject().Bytes("key", "k").Text(), R"({"key":"k"})");
  EXPECT_EQ(JsonObject().Bytes("key", "k\xFF").Text(),
            R"({"key":"k\ufffd","key_base64":"a/8="})");
}

TEST(JsonWriter, Merges) {
  JsonObject object;
  object.Merge(JsonObject()).Merge(JsonObject().Int("a", 1));
  object.Merge(JsonObject()).Merge(JsonObject().Int("b", 2));
  EXPECT_EQ(object.Text(), R"({"a":1,"b":2})");
}

}  // namespace
}  // namespace larder::cli
