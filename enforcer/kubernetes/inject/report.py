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
    """A line of the report; `name` is `kind/name`, and `namespace` the object's, if it names one."""

    name: str
    result: Result
    detail: str = ""
    namespace: str | None = None


def called(obj: Object) -> str:
    """Return an object's name in a report, `kind/name`."""
    kind = str(obj.get("kind") or "object").lower()
    return f"{_SHORT.get(kind, kind)}/{identity(obj)[0] or '-'}"


_SHORT: Final = {"horizontalpodautoscaler": "hpa"}


def written(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the lines of a report as text, in columns."""
    # Refusals come last, where people see them.
    named = [(_named(line), line) for line in sorted(lines, key=lambda line: line.result is Result.REFUSED)]
    width = max((len(name) for name, _ in named), default=0)
    for name, line in named:
        yield f"{name:{width}}  {line.result:10}  {line.detail}".rstrip()


def _named(line: Line) -> str:
    return line.name if line.namespace is None else f"{line.name} -n {line.namespace}"
