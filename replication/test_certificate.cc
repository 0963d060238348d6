#include "replication/test_certificate.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "cache/check.h"

namespace larder::replication {
namespace {

constexpr long kDaySeconds = 86'400;

std::string TakeText(BIO* bio) {
  std::string text(BIO_ctrl_pending(bio), '\0');
  LARDER_CHECK(BIO_read(bio, text.data(), static_cast<int>(text.size())) ==
               static_cast<int>(text.size()));
  BIO_free(bio);
  return text;
}

void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  LARDER_CHECK(extension != nullptr);
  LARDER_CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestCertificate MakeTestCertificate(const std::string& name,
                                    const std::string& alternative) {
  // As EVP_EC_gen() does, whose cast Clang warns of.
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(),
                                                           X509_free);
  LARDER_CHECK(key != nullptr && certificate != nullptr);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDaySeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kDaySeconds);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(
      subject, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  AddExtension(certificate.get(), NID_subject_alt_name, alternative);
  AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  LARDER_CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  TestCertificate made;
  BIO* bio = BIO_new(BIO_s_mem());
  LARDER_CHECK(PEM_write_bio_X509(bio, certificate.get()) == 1);
  made.certificate = TakeText(bio);
  bio = BIO_new(BIO_s_mem());
  LARDER_CHECK(PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0,
                                        nullptr, nullptr) == 1);
  made.key = TakeText(bio);
  return made;
}

}  // namespace larder::replication
