"""Protocol Buffers (Debian: libprotobuf-dev, protobuf-compiler): manifests, wire.

Not served by pkg_config_repository: proto_library also needs the compiler and
the toolchain that .bazelrc names.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

exports_files(["protoc"])

cc_library(name = "protobuf", linkopts = ["-lprotobuf", "-pthread"])

cc_library(name = "protobuf_lite", linkopts = ["-lprotobuf-lite", "-pthread"])

proto_lang_toolchain(
    name = "cc_toolchain",
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
"""

def _impl(ctx):
    protoc = ctx.which("protoc")
    if not protoc:
        fail("protoc: not found: install protobuf-compiler")
    ctx.symlink(protoc, "protoc")
    ctx.file("BUILD", _BUILD)

_protobuf = repository_rule(implementation = _impl, local = True)

def larder_protobuf():
    _protobuf(name = "com_google_protobuf")
