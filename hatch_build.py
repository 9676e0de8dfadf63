"""Compiles the path of requests with mypyc, the compiler that comes with mypy, for the wheel that is being built.

Only where HATCH_BUILD_HOOK_ENABLE_CUSTOM=true says so, since it takes a C compiler; all run as they are, too.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution


class CompiledModules(BuildHookInterface[Any]):
    """Adds to the wheel, beside each of `modules`, what it is compiled to."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a folder that is installed as it stands (`version` is "editable") stays interpreted."""
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
                f"to compile, {' and '.join(missing)} must be there (Debian: gcc libc6-dev python3-dev); or leave "
                "it interpreted: without HATCH_BUILD_HOOK_ENABLE_CUSTOM, and the image with COMPILED=false"
            )
        self._folder = TemporaryDirectory(prefix="enforcer-compiled-")
        built = Path(self._folder.name)
        paths = [f"{module.replace('.', '/')}.py" for module in self.config["modules"]]
        # Nothing of others is looked at, so that what is there when it is built makes no difference.
        extensions = mypycify(
            ["--config-file=", "--no-site-packages", "--ignore-missing-imports", *paths],
            group_name="enforcer",
            opt_level="3",
            debug_level="0",
            target_dir=str(built / "c"),
        )
        command = Distribution({"name": "enforcer", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(built / "lib"), str(built / "objects")
        command.ensure_finalized()
        command.run()
        for library in (built / "lib").rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(built / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made on the way."""
        if version != "editable":
            self._folder.cleanup()
