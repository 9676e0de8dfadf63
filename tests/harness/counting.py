"""Runs the enforcer and counts its function calls: a program to start in place of `enforcer`.

On exit it writes to the file COUNTS how often each function of the package was called (`module:function`), and how
often each C function was called from there (`module:function > function`).
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


def _count(frame: FrameType, event: str, argument: Any) -> None:
    if event == "call" or event == "c_call":
        _calls[frame.f_code, argument if event == "c_call" else None] += 1


def _counts_by_name() -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (code, c_function), count in _calls.items():
        if code.co_filename.startswith(_PACKAGE):
            name = f"{code.co_filename[len(_PACKAGE) + 1 : -3]}:{code.co_qualname}"
            counts[name if c_function is None else f"{name} > {c_function.__qualname__}"] += count
    return counts


if __name__ == "__main__":
    sys.setprofile(_count)
    try:
        main()
    finally:
        sys.setprofile(None)
        Path(os.environ["COUNTS"]).write_text(json.dumps(_counts_by_name()))
