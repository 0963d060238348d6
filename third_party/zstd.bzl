"""zstd (Debian: libzstd-dev): frames on disk and on the wire."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_zstd():
    pkg_config_repository(name = "zstd", libraries = {":zstd": "libzstd"})
