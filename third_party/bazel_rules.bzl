"""What Bazel itself would download: Debian's copies, or stubs."""

_RULES_CC = "/usr/share/bazel/rules/cc"

def _rules_cc_impl(ctx):
    # Debian's rules_cc 0.0.4 loads use_cpp_toolchain(), which Bazel 4.2.3 lacks.
    for entry in ctx.path(_RULES_CC).readdir():
        if entry.basename != "cc":
            ctx.symlink(entry, entry.basename)
    copied = ctx.execute(["cp", "-rL", _RULES_CC + "/cc", "cc"])
    if copied.return_code:
        fail("copy of %s: %s" % (_RULES_CC, copied.stderr))
    for name in ["compiler_flag", "cc_flags_supplier"]:
        path = "cc/private/rules_impl/%s.bzl" % name
        text = ctx.read(path)
        text = text.replace(', "use_cpp_toolchain")', ")")
        text = text.replace(
            "use_cpp_toolchain()",
            '["@bazel_tools//tools/cpp:toolchain_type"]',
        )
        ctx.file(path, text)

_rules_cc = repository_rule(implementation = _rules_cc_impl, local = True)

def _coverage_stub_impl(ctx):
    # Every cc_test names this target; without coverage runs it does nothing.
    ctx.file("stub.sh", "#!/bin/sh\nexit 0\n")
    ctx.file("BUILD", """
sh_binary(
    name = "coverage_report_generator",
    srcs = ["stub.sh"],
    visibility = ["//visibility:public"],
)
""")

_coverage_stub = repository_rule(implementation = _coverage_stub_impl)

def larder_bazel_rules():
    _rules_cc(name = "rules_cc")
    _coverage_stub(name = "remote_coverage_tools")
    for name, path in {
        "bazel_skylib": "/usr/share/bazel/tools/skylib",
        "platforms": "/usr/share/bazel/platforms",
        "rules_java": "/usr/share/bazel/rules/java",
        "rules_proto": "/usr/share/bazel/rules/proto",
    }.items():
        native.local_repository(name = name, path = path)
