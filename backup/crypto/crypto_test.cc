#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "backup/crypto/aes_gcm.h"
#include "backup/crypto/hash.h"
#include "backup/crypto/secret_key.h"
#include "gtest/gtest.h"

namespace larder::backup::crypto {
namespace {

std::string FromHex(absl::string_view hex) {
  return absl::HexStringToBytes(hex);
}

// Test cases 14 and 16 of "The Galois/Counter Mode of Operation" (McGrew,
// Viega, 2005), which NIST SP 800-38D refers to.
TEST(AesGcmTest, KnownAnswers) {
  std::string text(16, '\0');
  GcmEncrypt(SecretKey(std::string(32, '\0')),
             {.nonce = std::string(12, '\0'), .associated = ""}, 0, &text);
  EXPECT_EQ(absl::BytesToHexString(text),
            "cea7403d4d606b6e074ec5d3baf39d18"
            "d0d1c8a799996bf0265b98b5d48ab919");
  const SecretKey key(FromHex(
      "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  const std::string nonce = FromHex("cafebabefacedbaddecaf888");
  const std::string associated =
      FromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const std::string plain = FromHex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
  text = absl::StrCat("in front", plain);
  GcmEncrypt(key, {nonce, associated}, 8, &text);
  EXPECT_EQ(absl::BytesToHexString(text.substr(8)),
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b");
  text = text.substr(8);
  ASSERT_TRUE(GcmDecrypt(key, {nonce, associated}, &text));
  EXPECT_EQ(text, plain);
}

TEST(AesGcmTest, EveryBitCounts) {
  const SecretKey key(std::string(32, 'k'));
  const std::string nonce(12, 'n');
  std::string sealed = "a text";
  GcmEncrypt(key, {nonce, "around"}, 0, &sealed);
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string text = sealed;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(GcmDecrypt(key, {nonce, "around"}, &text));
    EXPECT_EQ(text, "");
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    std::string text = sealed.substr(0, size);
    EXPECT_FALSE(GcmDecrypt(key, {nonce, "around"}, &text));
  }
  std::string text = sealed;
  EXPECT_FALSE(GcmDecrypt(key, {nonce, "arounD"}, &text));
  text = sealed;
  EXPECT_FALSE(GcmDecrypt(key, {std::string(12, 'm'), "around"}, &text));
  text = sealed;
  EXPECT_FALSE(
      GcmDecrypt(SecretKey(std::string(32, 'K')), {nonce, "around"}, &text));
  EXPECT_TRUE(GcmDecrypt(key, {nonce, "around"}, &sealed));
}

// RFC 4231, test case 2; and HKDF(SHA256, 32, b"salt", b"info") of Python's
// "cryptography" over bytes 00 to 1f.
TEST(HashTest, KnownAnswers) {
  EXPECT_EQ(absl::BytesToHexString(
                HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  std::string counted;
  for (char c = 0; c < 32; ++c) counted.push_back(c);
  EXPECT_EQ(absl::BytesToHexString(
                DeriveKey(SecretKey(counted), "salt", "info").bytes()),
            "64cc2a23b7a1da4310420350405fdf5d632cb9bda3700d753e96cbcfeb81d449");
  EXPECT_TRUE(ConstantTimeEquals("ab", "ab"));
  EXPECT_FALSE(ConstantTimeEquals("ab", "ac"));
  EXPECT_FALSE(ConstantTimeEquals("ab", "abc"));
}

}  // namespace
}  // namespace larder::backup::crypto
