#include "backup/format/sealed_dump.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/crypto/hash.h"
#include "backup/format/coding.h"
#include "backup/format/message.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup::format {
namespace {

void AppendBytes(absl::string_view bytes, std::string* out) {
  AppendFixed<uint32_t>(static_cast<uint32_t>(bytes.size()), out);
  out->append(bytes.data(), bytes.size());
}

void AppendTotals(const SourceTotals& t, std::string* out) {
  for (const int64_t count :
       {t.records(), t.frames(), t.raw_bytes(), t.stored_bytes(), t.files(),
        t.file_bytes(), t.records_begun(), t.files_begun(), t.problems_count(),
        t.specials_ignored(), t.file_bytes_begun(), t.ranges(),
        t.records_kept(), t.directories_excluded()}) {
    AppendFixed<uint64_t>(static_cast<uint64_t>(count), out);
  }
  AppendFixed<uint32_t>(static_cast<uint32_t>(t.problems_size()), out);
  for (const std::string& problem : t.problems()) AppendBytes(problem, out);
}

// What the MAC is over. Not the message as it is serialized: that is not the
// same everywhere.
std::string SignedText(absl::string_view header, const Trailer& trailer) {
  std::string text = "larder seal 1";
  AppendBytes(header, &text);
  AppendFixed<uint64_t>(trailer.chunks(), &text);
  AppendFixed<uint64_t>(trailer.chunk_bytes(), &text);
  AppendBytes(trailer.stream_digest(), &text);
  AppendFixed<uint32_t>(static_cast<uint32_t>(trailer.sources_size()), &text);
  for (const SourceEnd& source : trailer.sources()) {
    AppendFixed<uint32_t>(static_cast<uint32_t>(source.status_code()), &text);
    AppendBytes(source.status_message(), &text);
    AppendTotals(source.totals(), &text);
  }
  return text;
}

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("seal: ", what));
}

}  // namespace

Encryption MakeEncryption(const crypto::NamedKey& key, absl::string_view salt) {
  LARDER_CHECK(salt.size() == kSaltBytes);
  Encryption encryption;
  encryption.set_algorithm(ENCRYPTION_ALGORITHM_AES_256_GCM);
  encryption.set_key_id(key.id);
  encryption.set_salt(std::string(salt));
  return encryption;
}

absl::Status CheckEncryption(const Encryption& encryption) {
  if (encryption.algorithm() != ENCRYPTION_ALGORITHM_AES_256_GCM) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "dump header: encryption: algorithm %d vs %d known",
        encryption.algorithm(), ENCRYPTION_ALGORITHM_AES_256_GCM));
  }
  if (encryption.key_id().size() != crypto::kKeyIdBytes ||
      encryption.salt().size() != kSaltBytes) {
    return absl::DataLossError(absl::StrFormat(
        "dump header: encryption: key ID of %d bytes, salt of %d vs %d, %d",
        encryption.key_id().size(), encryption.salt().size(),
        crypto::kKeyIdBytes, kSaltBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckSealForm(const Manifest& manifest) {
  const Trailer& trailer = manifest.trailer();
  if (!manifest.header().has_encryption()) {
    return trailer.has_seal() ? Bad("of a dump in the clear")
                              : absl::OkStatus();
  }
  if (trailer.seal().mac().size() != crypto::kSha256Bytes) {
    return Bad(absl::StrFormat("of %d bytes vs %d", trailer.seal().mac().size(),
                               crypto::kSha256Bytes));
  }
  // Frames are sealed by whole chunks, not by themselves.
  if (!manifest.references().empty()) {
    return Bad("the dump refers to packs of others");
  }
  DumpHeader header;
  LARDER_RETURN_IF_ERROR(ParseMessage(trailer.seal().header(), &header));
  if (SerializeMessage(header) != SerializeMessage(manifest.header())) {
    return Bad("of another header");
  }
  return absl::OkStatus();
}

DumpSeal SealOf(const DumpHeader& header, const crypto::KeyRing* keys) {
  if (!header.has_encryption()) return DumpSeal();
  const Encryption& encryption = header.encryption();
  if (const absl::Status form = CheckEncryption(encryption); !form.ok()) {
    return DumpSeal::Locked(form);
  }
  const crypto::NamedKey* key =
      keys != nullptr ? keys->Find(encryption.key_id()) : nullptr;
  if (key != nullptr) {
    return DumpSeal(key->key, encryption.salt(), header.stream_id());
  }
  const std::string sealed =
      absl::StrCat("snapshot ", header.snapshot_id(), ": sealed with key ID ",
                   crypto::PrintKeyId(encryption.key_id()));
  return DumpSeal::Locked(absl::FailedPreconditionError(
      keys != nullptr
          ? absl::StrCat(sealed, ", which ", keys->name(), " has not")
          : absl::StrCat(sealed, ", and no key was given")));
}

void SignTrailer(const DumpSeal& seal, std::string header_payload,
                 Trailer* trailer) {
  trailer->mutable_seal()->set_mac(
      seal.Mac(SignedText(header_payload, *trailer)));
  trailer->mutable_seal()->set_header(std::move(header_payload));
}

absl::Status CheckSignature(const DumpSeal& seal, const Manifest& manifest) {
  if (!seal.sealed()) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(seal.status());
  const Seal& found = manifest.trailer().seal();
  const std::string expected =
      seal.Mac(SignedText(found.header(), manifest.trailer()));
  if (crypto::ConstantTimeEquals(found.mac(), expected)) {
    return absl::OkStatus();
  }
  return Bad("is broken: header or trailer are not what was written");
}

}  // namespace larder::backup::format
