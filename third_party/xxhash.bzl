"""xxHash (Debian: libxxhash-dev): checksums of pages and frames.

Debian's library is built for SSE2. A source that defines XXH_INLINE_ALL before
`#include <xxhash.h>` compiles its own copy, with the instruction set of its
own copts; it must check the CPU before it runs more than SSE2.
"""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_xxhash():
    pkg_config_repository(name = "xxhash", libraries = {":xxhash": "libxxhash"})
