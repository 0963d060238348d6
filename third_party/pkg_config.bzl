"""A repository of system libraries, with link flags from pkg-config."""

# Headers need no entry: /usr/include is the compiler's own directory, so they
# count as system headers and warnings of ours do not reach them. A folder below
# it is named in the include: <hiredis/hiredis.h>.
_TARGET = """
cc_library(
    name = "{name}",
    defines = {defines},
    linkopts = {linkopts},
)
"""

def _flags(ctx, module, kind):
    done = ctx.execute(["pkg-config", kind, module])
    if done.return_code:
        fail("pkg-config %s %s: %s" % (kind, module, done.stderr))
    return [f for f in done.stdout.strip().split(" ") if f]

def _library(ctx, name, spec):
    extra, _, module = spec.rpartition(" ")
    defines = []
    for flag in _flags(ctx, module, "--cflags"):
        # NOMINMAX is for Windows.
        if flag.startswith("-D") and flag != "-DNOMINMAX":
            defines.append(flag[2:])
        elif flag.startswith("-I") and not (flag + "/").startswith("-I/usr/include/"):
            fail("%s: unexpected include directory %s" % (module, flag))

    # GCC adds libatomic itself where it is needed.
    linkopts = [extra] if extra else []
    linkopts += [
        f
        for f in _flags(ctx, module, "--libs")
        if f[:2] in ["-l", "-L", "-p"] and f != "-latomic"
    ]
    if linkopts:
        linkopts = ["-Wl,--as-needed"] + linkopts
    return _TARGET.format(
        name = name,
        defines = repr(defines),
        linkopts = repr(linkopts),
    )

def _impl(ctx):
    packages = {}
    for label, module in ctx.attr.libraries.items():
        package, _, name = label.partition(":")
        if package not in packages:
            packages[package] = 'package(default_visibility = ["//visibility:public"])\n'
        packages[package] += _library(ctx, name, module)
    for package, text in packages.items():
        ctx.file((package + "/" if package else "") + "BUILD", text)

# `libraries`: "package:target" -> pkg-config module, with a link flag before it
# ("-lfoo_main foo") where a library has no module of its own. `local`: asked again when
# the Bazel server starts, so that an upgraded package is noticed.
pkg_config_repository = repository_rule(
    implementation = _impl,
    attrs = {"libraries": attr.string_dict()},
    local = True,
)
