"""Runs the enforcer and counts its work: as a program, in place of `enforcer`.

When it ends, it writes to the file COUNTS how often each function of the package was called (`module:function`), and
how often each function that is not Python's was called from there (`module:function > function`).
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import enforcer
from enforcer.cli import main

_PACKAGE = str(Path(enforcer.__file__).parent)
_calls: Counter[tuple[Any, Any]] = Counter()


def _count(frame: FrameType, event: str, what: Any) -> None:
    if event == "call" or event == "c_call":
        _calls[frame.f_code, what if event == "c_call" else None] += 1


def _named() -> dict[str, int]:
    named: Counter[str] = Counter()
    for (code, what), count in _calls.items():
        if code.co_filename.startswith(_PACKAGE):
            name = f"{code.co_filename[len(_PACKAGE) + 1 : -3]}:{code.co_qualname}"
            named[name if what is None else f"{name} > {what.__qualname__}"] += count
    return named


if __name__ == "__main__":
    sys.setprofile(_count)
    try:
        main()
    finally:
        sys.setprofile(None)
        Path(os.environ["COUNTS"]).write_text(json.dumps(_named()))
