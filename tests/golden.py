"""Writes the golden files of the tests again, after an intended change of output. Review the difference afterwards.

`PYTHONPATH=tests python -m golden` writes all of them, `… -m golden NAME …` only some. One function for each folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent


def config_mistakes() -> None:
    """Write the errors that `enforcer check` reports for each file of tests/config/mistakes."""
    from enforcer.config.load import load
    from enforcer.errors import ConfigError

    folder = ROOT / "config" / "mistakes"
    os.chdir(folder)  # because the errors name files as they were given
    for file in sorted(Path().glob("*.yaml")):
        try:
            load(file, {"SECRET": "hunter2", "EMPTY": ""})
        except ConfigError as error:
            file.with_suffix(".txt").write_text(f"{error}\n", encoding="utf-8")
        else:
            sys.exit(f"{folder / file}: no error; a file without one does not belong here")


WRITERS: Final[dict[str, Callable[[], None]]] = {"config_mistakes": config_mistakes}


def main(names: list[str]) -> None:
    """Write the golden files of these names, or all."""
    if unknown := [name for name in names if name not in WRITERS]:
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join(WRITERS)}")
    for name in names or WRITERS:
        WRITERS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
