"""Abseil (Debian: libabsl-dev): status, strings, hash tables, time, hashing.

Why: the value types of every API here. Shared libraries, since gRPC's are
linked to the same ones; a second, static copy in one process would not do.
"""

load(":pkg_config.bzl", "pkg_config_repository")

# Upstream package -> targets. The pkg-config module is absl_<target>, except
# where it is named.
_TARGETS = {
    "algorithm": ["algorithm", ("container", "algorithm_container")],
    "base": ["base", "config", "core_headers", "dynamic_annotations", "endian", "log_severity", "prefetch", "raw_logging_internal"],
    "cleanup": ["cleanup"],
    "container": ["btree", "fixed_array", "flat_hash_map", "flat_hash_set", "inlined_vector", "node_hash_map", "node_hash_set"],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": [("random", "random_random"), ("bit_gen_ref", "random_bit_gen_ref"), ("distributions", "random_distributions"), ("seed_sequences", "random_seed_sequences")],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["civil_time", "time"],
    "types": ["any", "compare", "optional", "span", "variant"],
    "utility": ["utility"],
}

def larder_absl():
    libraries = {}
    for package, targets in _TARGETS.items():
        for target in targets:
            name, module = (target, target) if type(target) == "string" else target
            libraries["absl/%s:%s" % (package, name)] = "absl_" + module
    pkg_config_repository(name = "com_google_absl", libraries = libraries)
