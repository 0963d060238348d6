"""Google Benchmark (Debian: libbenchmark-dev): micro-benchmarks."""

load(":pkg_config.bzl", "pkg_config_repository")

def larder_benchmark():
    pkg_config_repository(
        name = "com_github_google_benchmark",
        libraries = {
            ":benchmark": "benchmark",
            ":benchmark_main": "-lbenchmark_main benchmark",
        },
    )
