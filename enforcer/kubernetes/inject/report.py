"""The report of a run: a line for each result, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from enforcer.yamltext.objects import Object, identity


class Result(StrEnum):
    """The result for an object."""

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
"""Results that are reported with --quiet, too."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the report; `name` is `kind/name`."""

    name: str
    result: Result
    detail: str = ""


def called(obj: Object) -> str:
    """Return an object's name in a report, `kind/name`."""
    kind = str(obj.get("kind") or "object").lower()
    return f"{_SHORT.get(kind, kind)}/{identity(obj)[0] or '-'}"


_SHORT: Final = {"horizontalpodautoscaler": "hpa"}


def written(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the lines of a report as text, in columns."""
    lines = list(lines)
    width = max((len(line.name) for line in lines), default=0)
    for line in lines:
        yield f"{line.name:{width}}  {line.result:10}  {line.detail}".rstrip()
