"""gRPC (Debian: libgrpc++-dev, protobuf-compiler-grpc): the wire of //replication.

Only //replication:grpc_* may depend on it: it is heavy to compile and to link.
"""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_grpc():
    pkg_config_repository(
        name = "com_github_grpc_grpc",
        libraries = {":grpc++": "grpc++"},
    )
