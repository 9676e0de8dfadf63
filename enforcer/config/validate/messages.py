"""What is wrong with values, in the words of a configuration's author.

pydantic finds the mistakes; its own texts speak of Python, and may show a value that is secret, so none is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from pydantic_core import ErrorDetails

from enforcer.config.document import BROKEN, Step, show
from enforcer.config.schema import Shape
from enforcer.errors import FaultsError, Problem


class PlacedValues(Protocol):
    """Values that know where they stand: a file's, or those of several files."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The values."""

    def problem(self, path: Sequence[Step], message: str, *, key: Step | None = None) -> Problem:
        """Make a problem of the value at a path, or of one of its keys."""


def problems(errors: Sequence[ErrorDetails], document: PlacedValues, shape: Callable[[], Shape]) -> Iterator[Problem]:
    """Tell of each mistake once, at its place; `shape` says what may stand where, and is asked only if need be."""
    located = {_path(document.values, error): error for error in reversed(errors)}
    # Where a value may be of several kinds, pydantic tells for each why it is not that; only the deepest counts.
    inside = {path[:length] for path in located for length in range(len(path))}
    for path, error in located.items():
        if path not in inside and error["input"] is not BROKEN:
            yield from _told(path, error, document, shape)


def suggestion(wrong: str, known: Sequence[str]) -> str:
    """Say which of the known names was probably meant, or else which there are."""
    near = get_close_matches(wrong, known, 1)
    return f"did you mean {show(near[0])}?" if near else f"known: {', '.join(known)}"


def _path(values: Any, error: ErrorDetails) -> tuple[Step, ...]:
    path: list[Step] = []
    value: Any = values
    for step in error["loc"]:
        # pydantic puts the kinds of a union's members among the steps; those lead nowhere.
        if value is error["input"]:
            break
        if isinstance(value, list) if isinstance(step, int) else isinstance(value, dict) and step in value:
            value = value[step]
            path.append(step)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else tuple(path)


def _told(
    path: tuple[Step, ...], error: ErrorDetails, document: PlacedValues, shape: Callable[[], Shape]
) -> Iterator[Problem]:
    found = show(error["input"])
    match error["type"]:
        case "missing":
            message = f"missing key {show(path[-1])}: {shape().meaning(path)}"
            yield document.problem(path[:-1], message)
        case "unexpected_keyword_argument":
            hint = suggestion(str(path[-1]), list(shape().keys(path[:-1])))
            yield document.problem(path[:-1], f"unknown key {show(path[-1])}; {hint}", key=path[-1])
        case "value_error":
            mistake = error["ctx"]["error"]
            if isinstance(mistake, FaultsError):
                for way, text in mistake.faults.items():
                    yield document.problem((*path, *way), text)
            else:
                text = str(mistake)
                yield document.problem(path, f"{text}, found {found}" if text.startswith("expected ") else text)
        case "too_short":
            yield document.problem(path, "expected at least one, found an empty list")
        case "string_too_short":
            yield document.problem(path, 'expected text, found ""')
        case _:
            yield document.problem(path, f"expected {shape().expected(path)}, found {found}")
