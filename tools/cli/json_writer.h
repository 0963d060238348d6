// Builds the one JSON object that a program prints with --json.
//
// Numbers that a double cannot hold (64-bit ids, HLCs, digests) are strings:
// most readers of JSON would round them.
#ifndef LARDER_TOOLS_CLI_JSON_WRITER_H_
#define LARDER_TOOLS_CLI_JSON_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

namespace larder::cli {

class JsonArray;

// Members print in the order in which they were added; a name is added once.
// Thread-compatible.
class JsonObject {
 public:
  JsonObject& Bool(absl::string_view name, bool value);
  JsonObject& Int(absl::string_view name, int64_t value);
  // null when it is not finite.
  JsonObject& Number(absl::string_view name, double value);
  JsonObject& String(absl::string_view name, absl::string_view value);
  // A name that may be any bytes: `name` as text, and when that is not valid
  // UTF-8, `name`_base64 with the exact bytes.
  JsonObject& Bytes(absl::string_view name, absl::string_view value);
  JsonObject& Id(absl::string_view name, uint64_t value);
  JsonObject& Digest(absl::string_view name, absl::uint128 value);
  JsonObject& Object(absl::string_view name, const JsonObject& value);
  JsonObject& Array(absl::string_view name, const JsonArray& value);
  // Appends all members of `other`.
  JsonObject& Merge(const JsonObject& other);

  // One line, without a line break.
  std::string Text() const;

 private:
  JsonObject& Add(absl::string_view name, absl::string_view json);

  std::string members_;
};

// Thread-compatible.
class JsonArray {
 public:
  JsonArray& Object(const JsonObject& value);
  JsonArray& String(absl::string_view value);
  std::string Text() const;

 private:
  JsonArray& Add(absl::string_view json);

  std::string elements_;
};

// 32 hexadecimal digits.
std::string DigestText(absl::uint128 digest);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_JSON_WRITER_H_
