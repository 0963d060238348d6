"""OpenSSL (Debian: libssl-dev): AES-GCM, HMAC, SHA-256 and random bytes."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_openssl():
    pkg_config_repository(
        name = "openssl",
        libraries = {":crypto": "libcrypto"},
    )
