#include "tools/cli/json_writer.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace larder::cli {
namespace {

// Length of the well-formed UTF-8 sequence that `text` starts with, or 0.
// Limits of the second byte: table 3-7 of the Unicode standard; they keep out
// overlong forms, surrogates, and what is beyond U+10FFFF.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [text](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&byte](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  unsigned second_min = 0x80;
  unsigned second_max = 0xBF;
  if (lead == 0xE0) second_min = 0xA0;
  if (lead == 0xED) second_max = 0x9F;
  if (lead == 0xF0) second_min = 0x90;
  if (lead == 0xF4) second_max = 0x8F;
  if (byte(1) < second_min || byte(1) > second_max) return 0;
  if (lead < 0xE0) return 2;
  if (!continues(2)) return 0;
  if (lead < 0xF0) return 3;
  return continues(3) ? 4 : 0;
}

struct Escaped {
  std::string json;   // With its quotes.
  bool exact = true;  // False: bytes were replaced.
};

Escaped Escape(absl::string_view text) {
  Escaped escaped;
  std::string& out = escaped.json;
  out.push_back('"');
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\\ufffd";
      escaped.exact = false;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out.append(text.data(), length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
  return escaped;
}

}  // namespace

JsonObject& JsonObject::Add(absl::string_view name, absl::string_view json) {
  absl::StrAppend(&members_, members_.empty() ? "" : ",", Escape(name).json,
                  ":", json);
  return *this;
}

JsonObject& JsonObject::Bool(absl::string_view name, bool value) {
  return Add(name, value ? "true" : "false");
}

JsonObject& JsonObject::Int(absl::string_view name, int64_t value) {
  return Add(name, absl::StrCat(value));
}

JsonObject& JsonObject::Number(absl::string_view name, double value) {
  return Add(name, std::isfinite(value) ? absl::StrCat(value) : "null");
}

JsonObject& JsonObject::String(absl::string_view name,
                               absl::string_view value) {
  return Add(name, Escape(value).json);
}

JsonObject& JsonObject::Bytes(absl::string_view name, absl::string_view value) {
  const Escaped escaped = Escape(value);
  Add(name, escaped.json);
  if (escaped.exact) return *this;
  return String(absl::StrCat(name, "_base64"), absl::Base64Escape(value));
}

JsonObject& JsonObject::Id(absl::string_view name, uint64_t value) {
  return Add(name, absl::StrCat("\"", value, "\""));
}

JsonObject& JsonObject::Digest(absl::string_view name, absl::uint128 value) {
  return String(name, DigestText(value));
}

JsonObject& JsonObject::Object(absl::string_view name,
                               const JsonObject& value) {
  return Add(name, value.Text());
}

JsonObject& JsonObject::Array(absl::string_view name, const JsonArray& value) {
  return Add(name, value.Text());
}

JsonObject& JsonObject::Merge(const JsonObject& other) {
  const bool both = !members_.empty() && !other.members_.empty();
  absl::StrAppend(&members_, both ? "," : "", other.members_);
  return *this;
}

std::string JsonObject::Text() const {
  return absl::StrCat("{", members_, "}");
}

JsonArray& JsonArray::Add(absl::string_view json) {
  absl::StrAppend(&elements_, elements_.empty() ? "" : ",", json);
  return *this;
}

JsonArray& JsonArray::Object(const JsonObject& value) {
  return Add(value.Text());
}

JsonArray& JsonArray::String(absl::string_view value) {
  return Add(Escape(value).json);
}

std::string JsonArray::Text() const {
  return absl::StrCat("[", elements_, "]");
}

std::string DigestText(absl::uint128 digest) {
  return absl::StrFormat("%016x%016x", absl::Uint128High64(digest),
                         absl::Uint128Low64(digest));
}

}  // namespace larder::cli
