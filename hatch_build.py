"""A hatchling build hook that compiles the request path with mypyc, the compiler of mypy, for the wheel.

It only runs if HATCH_BUILD_HOOK_ENABLE_CUSTOM=true, because it takes a C compiler. All modules run interpreted, too.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution, Extension

_MODULE_BODY = re.compile(r"^char CPyDef_\w+_____top_level__\(void\) \{$", re.MULTILINE)


def compiled_paths(config: Mapping[str, Any], root: Path = Path()) -> list[Path]:
    """Return the modules to compile: those of the packages in `compiled`, without the ones in `interpreted`."""
    package = root / "enforcer"
    interpreted = {package.joinpath(*name.split(".")).with_suffix(".py") for name in config["interpreted"]}
    modules: set[Path] = set()
    for name in config["compiled"]:
        path = package.joinpath(*name.split("."))
        modules.update(path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])
    if unknown := interpreted - modules:
        raise ValueError(f"not among the compiled packages: {', '.join(sorted(map(str, unknown)))}")
    return sorted(path for path in modules - interpreted if path.name != "__init__.py")


def translate(config: Mapping[str, Any], folder: Path) -> list[Extension]:
    """Translate the modules to C files in a folder, without compiling these; exits with 1 after printing each error.

    Third-party types are ignored, so that the result does not depend on the packages installed at build time. The
    functions that run a module's own statements, once, are marked cold: optimizing them took half of the time. Symbols
    are hidden, except those that Python looks for: another library could replace a symbol that is visible, so that each
    call would go through a table, and no function would be inlined.
    """
    paths = [str(path) for path in compiled_paths(config)]
    extensions: list[Extension] = mypycify(
        ["--config-file=", "--no-site-packages", "--ignore-missing-imports", *paths],
        group_name="enforcer",
        opt_level="3",
        debug_level="0",
        target_dir=str(folder),
    )
    for path in folder.rglob("*.c"):
        path.write_text(_MODULE_BODY.sub(r"__attribute__((cold)) \g<0>", path.read_text("utf-8")), "utf-8")
    for extension in extensions:
        extension.extra_compile_args.append("-fvisibility=hidden")
    return extensions


class CompiledModules(BuildHookInterface[Any]):
    """Adds the compiled form of each module in `compiled`, except those in `interpreted`, beside its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, except for an editable install (`version` is "editable"), which stays interpreted."""
        if version == "editable":
            return
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        header = Path(sysconfig.get_path("include"), "Python.h")
        missing = [
            *([f"the C compiler {compiler}"] if shutil.which(compiler) is None else []),
            *([] if header.is_file() else [str(header)]),
        ]
        if missing:
            self.app.abort(
                f"compiling takes {' and '.join(missing)} (Debian: gcc libc6-dev python3-dev). To build without it, "
                "unset HATCH_BUILD_HOOK_ENABLE_CUSTOM, or build the image with COMPILED=false"
            )
        self._folder = TemporaryDirectory(prefix="enforcer-compiled-")
        built = Path(self._folder.name)
        extensions = translate(self.config, built / "c")
        command = Distribution({"name": "enforcer", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(built / "lib"), str(built / "objects")
        command.ensure_finalized()
        command.run()
        for library in (built / "lib").rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(built / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary files."""
        if version != "editable":
            self._folder.cleanup()
