"""Translates the modules that the wheel has compiled, as its build does, but without a C compiler.

mypyc understands less of Python than mypy, and sees no third-party types: an error that only it finds would otherwise
be noticed first by a build.
"""

from __future__ import annotations

import sys
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hatch_build import translate  # noqa: E402


def main() -> None:
    """Print the errors, and exit with 1 if there is any. Warnings, which are about speed, are left out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()) as output:
        try:
            translate(settings["wheel"]["hooks"]["custom"], Path(folder))
        except SystemExit:
            print(output.getvalue(), file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
