"""CLI11 (Debian: libcli11-dev; headers only): flags of the programs in tools/."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_cli11():
    pkg_config_repository(name = "cli11", libraries = {":cli11": "CLI11"})
