#include "backup/format/sealed_dump.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/format/message.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup::format {
namespace {

using ::testing::HasSubstr;

// Key 00 to 1f, and another one.
std::shared_ptr<const crypto::KeyRing> SomeKeys() {
  return *crypto::KeyRing::Parse(
      "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "keys");
}

std::string SomeSalt() {
  std::string salt;
  for (char c = 0; c < 32; ++c) salt.push_back(static_cast<char>(c + 100));
  return salt;
}

Manifest SignedManifest() {
  Manifest manifest;
  DumpHeader* header = manifest.mutable_header();
  header->set_format_version(1);
  header->set_stream_id(0x1122334455667788);
  header->set_snapshot_id("A");
  header->add_sources()->set_name("cache");
  *header->mutable_encryption() =
      MakeEncryption(SomeKeys()->first(), SomeSalt());
  Trailer* trailer = manifest.mutable_trailer();
  trailer->set_chunks(7);
  trailer->set_chunk_bytes(700);
  trailer->set_stream_digest(std::string(16, 'd'));
  SourceEnd* source = trailer->add_sources();
  source->set_status_code(13);
  source->set_status_message("why");
  source->mutable_totals()->set_records(3);
  source->mutable_totals()->set_directories_excluded(5);
  source->mutable_totals()->add_problems("p");
  SignTrailer(SealOf(*header, SomeKeys().get()), SerializeMessage(*header),
              trailer);
  return manifest;
}

// The MAC of fixed bytes: as another implementation would lay them out.
// Python: hmac.new(k.derive(master), text, "sha256"), with
// k = HKDF(SHA256(), 32, salt, b"larder seal 1" + struct.pack("<Q", stream)).
TEST(SealedDumpTest, GoldenMac) {
  Trailer trailer = SignedManifest().trailer();
  trailer.clear_seal();
  SignTrailer(SealOf(SignedManifest().header(), SomeKeys().get()), "header",
              &trailer);
  EXPECT_EQ(absl::BytesToHexString(trailer.seal().mac()),
            "594dac50014098daa667f4392288bcc2057ece30c12cf947d67c20e549fc3c90");
}

TEST(SealedDumpTest, NothingSignedCanBeChanged) {
  const DumpSeal seal = SealOf(SignedManifest().header(), SomeKeys().get());
  ASSERT_TRUE(CheckSealForm(SignedManifest()).ok());
  ASSERT_TRUE(CheckSignature(seal, SignedManifest()).ok());
  const std::vector<std::function<void(Trailer*)>> forgeries = {
      [](Trailer* t) { t->set_chunks(8); },
      [](Trailer* t) { t->set_chunk_bytes(701); },
      [](Trailer* t) { t->set_stream_digest(std::string(16, 'e')); },
      [](Trailer* t) { t->mutable_sources(0)->set_status_code(0); },
      [](Trailer* t) { t->mutable_sources(0)->set_status_message("whz"); },
      [](Trailer* t) {
        t->mutable_sources(0)->mutable_totals()->set_records(2);
      },
      [](Trailer* t) {
        t->mutable_sources(0)->mutable_totals()->set_directories_excluded(0);
      },
      [](Trailer* t) {
        t->mutable_sources(0)->mutable_totals()->clear_problems();
      },
      [](Trailer* t) { t->add_sources(); },
      [](Trailer* t) { t->mutable_seal()->set_mac(std::string(32, 'm')); },
  };
  for (const auto& forge : forgeries) {
    Manifest forged = SignedManifest();
    forge(forged.mutable_trailer());
    EXPECT_EQ(CheckSignature(seal, forged).code(), absl::StatusCode::kDataLoss);
  }
}

TEST(SealedDumpTest, AHeaderIsTheOneThatWasSigned) {
  Manifest forged = SignedManifest();
  forged.mutable_header()->mutable_sources(0)->set_name("other");
  EXPECT_EQ(CheckSealForm(forged).code(), absl::StatusCode::kDataLoss);
  // Also when the seal goes with it.
  forged.mutable_trailer()->mutable_seal()->set_header(
      SerializeMessage(forged.header()));
  EXPECT_TRUE(CheckSealForm(forged).ok());
  EXPECT_EQ(
      CheckSignature(SealOf(forged.header(), SomeKeys().get()), forged).code(),
      absl::StatusCode::kDataLoss);
}

TEST(SealedDumpTest, FormIsCheckedWithoutAKey) {
  Manifest clear = SignedManifest();
  clear.mutable_header()->clear_encryption();
  EXPECT_EQ(CheckSealForm(clear).code(), absl::StatusCode::kDataLoss);
  clear.mutable_trailer()->clear_seal();
  EXPECT_TRUE(CheckSealForm(clear).ok());
  Manifest torn = SignedManifest();
  torn.mutable_trailer()->clear_seal();
  EXPECT_EQ(CheckSealForm(torn).code(), absl::StatusCode::kDataLoss);
  Manifest refers = SignedManifest();
  refers.add_references();
  EXPECT_EQ(CheckSealForm(refers).code(), absl::StatusCode::kDataLoss);
  Encryption encryption = SignedManifest().header().encryption();
  EXPECT_TRUE(CheckEncryption(encryption).ok());
  encryption.set_salt("short");
  EXPECT_EQ(CheckEncryption(encryption).code(), absl::StatusCode::kDataLoss);
  encryption = SignedManifest().header().encryption();
  encryption.set_algorithm(static_cast<EncryptionAlgorithm>(2));
  EXPECT_EQ(CheckEncryption(encryption).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(SealedDumpTest, AKeyThatIsNotThereIsToldByItsId) {
  const DumpHeader header = SignedManifest().header();
  EXPECT_TRUE(SealOf(header, SomeKeys().get()).status().ok());
  EXPECT_FALSE(SealOf(DumpHeader(), nullptr).sealed());
  const auto other = *crypto::KeyRing::Parse(std::string(64, 'a'), "FILE");
  const crypto::KeyRing* const none = nullptr;
  for (const crypto::KeyRing* keys : {other.get(), none}) {
    const DumpSeal seal = SealOf(header, keys);
    EXPECT_TRUE(seal.sealed());
    EXPECT_EQ(seal.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(seal.status().message()),
                HasSubstr("sealed with key ID 905a2861c10eca01"));
    EXPECT_THAT(std::string(seal.status().message()),
                HasSubstr(keys != nullptr ? "which FILE has not" : "no key"));
  }
}

}  // namespace
}  // namespace larder::backup::format
