"""The C++ rules of this workspace: one place for warnings and defaults."""

# Errors in our own code only: system headers are exempt, and generated code
# does not come through here. C++20 itself is set in .bazelrc.
LARDER_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wcast-qual",
    "-Wextra-semi",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wshadow",
    "-Wvla",
]

def _larder(kwargs):
    kwargs["copts"] = LARDER_COPTS + kwargs.get("copts", [])

    # Both do their work with Clang; GCC's toolchain ignores them.
    kwargs["features"] = kwargs.get("features", []) + ["layering_check", "parse_headers"]
    return kwargs

def larder_cc_library(**kwargs):
    native.cc_library(**_larder(kwargs))

def larder_cc_binary(**kwargs):
    native.cc_binary(**_larder(kwargs))

def larder_cc_test(size, deps = [], **kwargs):
    """A cc_test with a size; brings GoogleTest and its main along.

    Args:
      size: "small" (under a minute) and so on; tag longer suites "long".
      deps: direct includes, without GoogleTest.
      **kwargs: as for cc_test.
    """
    native.cc_test(
        size = size,
        deps = deps + ["@com_google_googletest//:gtest_main"],
        **_larder(kwargs)
    )

def larder_fuzz_test(name, srcs, deps, tags = []):
    """A test around one LLVMFuzzerTestOneInput, in package tests/fuzz.

    Runs the seeds in corpus/<name>/; then, with --config=fuzz, libFuzzer for
    some seconds, otherwise a fixed number of seeded mutations.

    Args:
      name: the target, and the directory of its seeds.
      srcs: the one source.
      deps: direct includes of it.
      tags: as for cc_test.
    """
    native.cc_test(
        size = "small",
        # Of data, not of sources: the generator decides which seeds there are.
        data = native.glob(["corpus/" + name + "/*"]),
        linkopts = select({
            "//bazel:fuzz": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        deps = deps + select({
            "//bazel:fuzz": ["//tests/fuzz:libfuzzer_arguments"],
            "//conditions:default": ["//tests/fuzz:replay_main"],
        }),
        **_larder({
            "name": name,
            "srcs": srcs,
            "tags": tags + ["no-tsan"],  # One thread.
        })
    )
