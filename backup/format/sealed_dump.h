// Who can open a dump, and the proof that its header and trailer are its own.
//
// Bytes: docs/formats/dump.md, "sealed dumps".
#ifndef LARDER_BACKUP_FORMAT_SEALED_DUMP_H_
#define LARDER_BACKUP_FORMAT_SEALED_DUMP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/key_ring.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"

namespace larder::backup::format {

// What the header of a dump that is sealed with `key` says.
// Requires: salt.size() == kSaltBytes; it is random.
Encryption MakeEncryption(const crypto::NamedKey& key, absl::string_view salt);

// Checks the form of what a header says, without a key. Errors: kDataLoss;
// kFailedPrecondition (an algorithm that is not known).
absl::Status CheckEncryption(const Encryption& encryption);
// The same for a whole manifest: a seal where there should be one, of the very
// header; no references. Errors: kDataLoss.
absl::Status CheckSealForm(const Manifest& manifest);

// What opens the dump `header`. `keys` may be null. Locked when the key is not
// there, kFailedPrecondition, or when CheckEncryption() fails.
DumpSeal SealOf(const DumpHeader& header, const crypto::KeyRing* keys);

// Puts the seal into a trailer that is complete else. `header_payload`: that of
// the HEADER chunk. Requires: seal.sealed(), seal.status().
void SignTrailer(const DumpSeal& seal, std::string header_payload,
                 Trailer* trailer);
// That header and trailer are those which were signed. OK for a dump in the
// clear. Requires: CheckSealForm(). Errors: seal.status(); kDataLoss.
absl::Status CheckSignature(const DumpSeal& seal, const Manifest& manifest);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_SEALED_DUMP_H_
