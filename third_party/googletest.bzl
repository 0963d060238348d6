"""GoogleTest and GoogleMock (Debian: libgtest-dev, libgmock-dev): every test."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_googletest():
    # As upstream, :gtest brings gmock along.
    pkg_config_repository(
        name = "com_google_googletest",
        libraries = {":gtest": "gmock", ":gtest_main": "gmock_main"},
    )
