"""Golden runs of `enforcer inject` and `enforcer uninject`: a folder each, with the input, the command and the result.

`command` is a command line, `input.yaml` its standard input, `output.yaml` the expected standard output (no file: none)
and `report.txt` the expected standard error. `python -m harness.kubernetes.golden`, with PYTHONPATH=tests, writes the
expected files again after an intended change; review the difference before you commit it.
"""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from enforcer.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "kubernetes" / "golden"
CASES = sorted(path.parent for path in FOLDER.glob("*/command"))
_PACKAGE = version("token-enforcer")


def arguments(case: Path) -> list[str]:
    """Return the command's arguments."""
    return shlex.split((case / "command").read_text("utf-8"))


def run(case: Path, arguments: list[str], text: str) -> Result:
    """Run the command line in the folder of a case, with this text on standard input."""
    with _working_in(case):
        return CliRunner().invoke(main, arguments, input=text, prog_name="enforcer")


def run_command(case: Path) -> Result:
    """Run a case's own command."""
    return run(case, arguments(case), (case / "input.yaml").read_text("utf-8"))


def expected(case: Path, file: str) -> str:
    """Return an expected text, in which VERSION stands for the package's version; an empty one if there is no file."""
    path = case / file
    return path.read_text("utf-8").replace("VERSION", _PACKAGE) if path.exists() else ""


def write() -> None:
    """Write the expected files of every case from what the commands write now."""
    for case in CASES:
        result = run_command(case)
        for file, text in (("output.yaml", result.stdout), ("report.txt", result.stderr)):
            (case / file).unlink(missing_ok=True)
            if text:
                (case / file).write_text(text.replace(_PACKAGE, "VERSION"), "utf-8")


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    former = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)


if __name__ == "__main__":
    write()
