"""What was done with each object, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from enforcer.yamltext.objects import Object, identity


class Result(StrEnum):
    """What became of an object."""

    INJECTED = "injected"
    UNINJECTED = "uninjected"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOTE = "note"
    SKIPPED = "skipped"
    WARNING = "warning"
    REFUSED = "refused"
    MISSING = "missing"


QUIET = frozenset({Result.WARNING, Result.REFUSED, Result.MISSING})
"""What is told even to those who want to hear little."""


@dataclass(frozen=True, slots=True)
class Line:
    """One of the report: `thing` is `kind/name`."""

    thing: str
    result: Result
    detail: str = ""


def called(thing: Object) -> str:
    """Return what an object is called in a report."""
    kind = str(thing.get("kind") or "object").lower()
    return f"{_SHORT.get(kind, kind)}/{identity(thing)[0] or '-'}"


_SHORT: Final = {"horizontalpodautoscaler": "hpa"}


def written(lines: Iterable[Line]) -> Iterator[str]:
    """Write a report, in columns."""
    lines = list(lines)
    width = max((len(line.thing) for line in lines), default=0)
    for line in lines:
        yield f"{line.thing:{width}}  {line.result:10}  {line.detail}".rstrip()
