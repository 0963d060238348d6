"""xxHash (Debian: libxxhash-dev): checksums of pages and frames.

Debian's library chooses vectors by the CPU only behind <xxh_x86dispatch.h>: see
cache/xxh3.h. Short keys are hashed inline, by XXH_INLINE_ALL before
`#include <xxhash.h>`.
"""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_xxhash():
    pkg_config_repository(name = "xxhash", libraries = {":xxhash": "libxxhash"})
