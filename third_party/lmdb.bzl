"""LMDB (Debian: liblmdb-dev): a peer of //bench:l2_bench, and of nothing else."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_lmdb():
    pkg_config_repository(name = "lmdb", libraries = {":lmdb": "lmdb"})
