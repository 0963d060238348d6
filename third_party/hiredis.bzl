"""hiredis (Debian: libhiredis-dev): how //bench:l2_bench talks to Redis, a peer.

The server itself comes with Debian's redis-tools: /usr/bin/redis-check-rdb is
the same program under another name. redis-server would also start a daemon.
"""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_hiredis():
    pkg_config_repository(name = "hiredis", libraries = {":hiredis": "hiredis"})
