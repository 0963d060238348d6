"""RocksDB (Debian: librocksdb-dev): a peer of //bench:l2_bench, and of nothing else."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_rocksdb():
    pkg_config_repository(name = "rocksdb", libraries = {":rocksdb": "rocksdb"})
