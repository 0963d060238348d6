#include "backup/key_file.h"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/private_file_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

// What memory must not hold when it is given back; empty: anything.
absl::string_view& Secret() {
  static absl::string_view secret;
  return secret;
}
int secrets_given_back = 0;

void* Take(size_t size) {
  void* const block = std::malloc(size > 0 ? size : 1);
  if (block == nullptr) std::abort();
  return block;
}

void GiveBack(void* block) {
  if (block == nullptr) return;
  const absl::string_view secret = Secret();
  if (!secret.empty()) {
    const absl::string_view bytes(static_cast<const char*>(block),
                                  malloc_usable_size(block));
    if (absl::StrContains(bytes, secret)) ++secrets_given_back;
  }
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return Take(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return Take(size);
}
void operator delete(void* block) noexcept { GiveBack(block); }
void operator delete(void* block, size_t) noexcept { GiveBack(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept {
  GiveBack(block);
}

namespace larder::backup {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(KeyFileTest, OnlyItsOwnerMayReadIt) {
  const std::string key(64, 'c');
  const std::string path = WriteFileWithMode("keys", key + "\n", 0600);
  const auto ring = ReadKeyFile(path);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->name(), path);
  EXPECT_EQ((*ring)->first().key.bytes(), std::string(32, '\xcc'));
  for (const mode_t mode : {0640, 0604, 0620, 0602}) {
    const absl::Status open =
        ReadKeyFile(WriteFileWithMode("open", key, mode)).status();
    EXPECT_EQ(open.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(open.message()), HasSubstr("chmod 600"));
    EXPECT_THAT(std::string(open.message()), Not(HasSubstr("cccc")));
  }
  EXPECT_EQ(ReadKeyFile("/absent").status().code(),
            absl::StatusCode::kNotFound);
}

void ExpectRefused(const std::string& path, const std::string& why) {
  const absl::Status status = ReadKeyFile(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(KeyFileTest, ItIsARegularFile) {
  ExpectRefused(testing::TempDir(), "not a regular file");
  // Nobody writes to it: it must not be waited for.
  const std::string pipe = absl::StrCat(testing::TempDir(), "/pipe");
  ::unlink(pipe.c_str());  // Of another run.
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  ExpectRefused(pipe, "not a regular file");
}

TEST(KeyFileTest, WhoReadsItOwnsItOrRootDoes) {
  const std::string path =
      WriteFileWithMode("foreign", std::string(64, 'c') + "\n", 0600);
  if (::geteuid() != 0 || ::chown(path.c_str(), 1, -1) != 0) {
    GTEST_SKIP() << "cannot give a file away";
  }
  ExpectRefused(path, "owned by user ID 1 vs 0");
}

TEST(KeyFileTest, WhatIsRefusedIsNotRead) {
  // Else it would be too long.
  ExpectRefused(
      WriteFileWithMode("long", std::string((1 << 20) + 1, 'c'), 0644),
      "chmod 600");
}

TEST(KeyFileTest, NoKeyIsLeftInMemory) {
  const std::string text =
      "0123456789abcdef0123456789abcdef"
      "0123456789abcdef0123456789abcdef";
  const std::string bytes = absl::HexStringToBytes(text);
  const std::string good = WriteFileWithMode("good", text + "\n", 0600);
  const std::vector<std::string> bad = {
      WriteFileWithMode("others", text + "\n", 0644),
      WriteFileWithMode("brief", absl::StrCat(text, "\n", text.substr(1), "\n"),
                        0600),
      WriteFileWithMode("twice", absl::StrCat(text, "\n", text, "\n"), 0600),
      WriteFileWithMode("too-long",
                        absl::StrCat(text, std::string(1 << 20, '\n')), 0600),
  };
  const auto count = [](absl::string_view secret, const std::string& path,
                        bool is_good) {
    secrets_given_back = 0;
    Secret() = secret;
    const bool read = ReadKeyFile(path).ok();
    Secret() = "";
    EXPECT_EQ(read, is_good) << path;
    return secrets_given_back;
  };
  for (const absl::string_view secret :
       {absl::string_view(text).substr(0, 32), absl::string_view(bytes)}) {
    EXPECT_EQ(count(secret, good, true), 0);
    for (const std::string& path : bad) {
      EXPECT_EQ(count(secret, path, false), 0) << path;
    }
  }
  // The test itself would notice.
  Secret() = text;
  std::make_unique<std::string>(text).reset();
  Secret() = "";
  EXPECT_EQ(secrets_given_back, 1);
}

}  // namespace
}  // namespace larder::backup
