#include "backup/crypto/aes_gcm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>

#include "cache/check.h"

namespace larder::backup::crypto {
namespace {

constexpr size_t kTextBytesMax = size_t{1} << 30;

using Context = std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)>;

unsigned char* Bytes(char* text) {
  return reinterpret_cast<unsigned char*>(text);
}
const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// With key, nonce and associated bytes. What fails here is no matter of what
// is decrypted.
Context Start(const SecretKey& key, const GcmContext& with, bool encrypt) {
  LARDER_CHECK(with.nonce.size() == kGcmNonceBytes);
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  LARDER_CHECK(context != nullptr);
  int size = 0;
  LARDER_CHECK(EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                                 Bytes(key.bytes()), Bytes(with.nonce),
                                 encrypt ? 1 : 0) == 1);
  LARDER_CHECK(EVP_CipherUpdate(context.get(), nullptr, &size,
                                Bytes(with.associated),
                                static_cast<int>(with.associated.size())) == 1);
  return context;
}

// Of GCM it is a stream: as many bytes come out as go in.
void Update(EVP_CIPHER_CTX* context, char* text, size_t bytes) {
  int size = 0;
  LARDER_CHECK(EVP_CipherUpdate(context, Bytes(text), &size, Bytes(text),
                                static_cast<int>(bytes)) == 1);
  LARDER_CHECK(static_cast<size_t>(size) == bytes);
}

}  // namespace

void GcmEncrypt(const SecretKey& key, const GcmContext& with, size_t at,
                std::string* text) {
  LARDER_CHECK(at <= text->size() && text->size() - at <= kTextBytesMax);
  const Context context = Start(key, with, /*encrypt=*/true);
  const size_t end = text->size();
  text->resize(end + kGcmTagBytes);
  Update(context.get(), text->data() + at, end - at);
  char* const tag = text->data() + end;
  int size = 0;
  LARDER_CHECK(EVP_CipherFinal_ex(context.get(), Bytes(tag), &size) == 1);
  LARDER_CHECK(size == 0);
  LARDER_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG,
                                   kGcmTagBytes, tag) == 1);
}

bool GcmDecrypt(const SecretKey& key, const GcmContext& with,
                std::string* text) {
  LARDER_CHECK(text->size() <= kTextBytesMax);
  if (text->size() < kGcmTagBytes) {
    text->clear();
    return false;
  }
  const Context context = Start(key, with, /*encrypt=*/false);
  const size_t end = text->size() - kGcmTagBytes;
  Update(context.get(), text->data(), end);
  char unused[kGcmTagBytes];
  int size = 0;
  LARDER_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG,
                                   kGcmTagBytes, text->data() + end) == 1);
  const bool right =
      EVP_CipherFinal_ex(context.get(), Bytes(unused), &size) == 1;
  if (!right) OPENSSL_cleanse(text->data(), text->size());
  text->resize(right ? end : 0);
  return right;
}

}  // namespace larder::backup::crypto
