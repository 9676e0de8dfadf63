"""Error messages for invalid values, in the words of a configuration's author.

pydantic finds the errors. Its own texts are not used, because they speak of Python and may show a secret value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from pydantic_core import ErrorDetails

from enforcer.config.documents.document import BROKEN, Step, show
from enforcer.config.schema import Shape
from enforcer.errors import Problem, SettingsError


class PlacedValues(Protocol):
    """Values with their positions: those of one file, or of several."""

    @property
    def values(self) -> Mapping[str, Any]: ...

    def problem(self, path: Sequence[Step], message: str, *, key: Step | None = None) -> Problem:
        """Return a problem with the value at a path, or with one of its keys."""


def problems(errors: Sequence[ErrorDetails], document: PlacedValues, shape: Callable[[], Shape]) -> Iterator[Problem]:
    """Yield each error once, with its position; `shape` returns the schema's shape, and is called only if needed."""
    by_path = {_path(document.values, error): error for error in reversed(errors)}
    # For a value of several possible types, pydantic reports why it is none of them; only the deepest error counts.
    parents = {path[:length] for path in by_path for length in range(len(path))}
    for path, error in by_path.items():
        if path not in parents and error["input"] is not BROKEN:
            yield from _describe(path, error, document, shape)


def suggestion(wrong: str, known: Sequence[str]) -> str:
    """Return the known name that was probably meant, or else all known names."""
    near = get_close_matches(wrong, known, 1)
    return f"did you mean {show(near[0])}?" if near else f"known: {', '.join(known)}"


def _path(values: Any, error: ErrorDetails) -> tuple[Step, ...]:
    path: list[Step] = []
    value: Any = values
    for step in error["loc"]:
        # pydantic includes the member types of a union in `loc`; those are not keys or indexes.
        if value is error["input"]:
            break
        if isinstance(value, list) if isinstance(step, int) else isinstance(value, dict) and step in value:
            value = value[step]
            path.append(step)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else tuple(path)


def _describe(
    path: tuple[Step, ...], error: ErrorDetails, document: PlacedValues, shape: Callable[[], Shape]
) -> Iterator[Problem]:
    shown = show(error["input"])
    match error["type"]:
        case "missing":
            message = f"missing key {show(path[-1])}: {shape().meaning(path)}"
            yield document.problem(path[:-1], message)
        case "unexpected_keyword_argument":
            hint = suggestion(str(path[-1]), list(shape().keys(path[:-1])))
            yield document.problem(path[:-1], f"unknown key {show(path[-1])}; {hint}", key=path[-1])
        case "value_error":
            cause = error["ctx"]["error"]
            if isinstance(cause, SettingsError):
                for way, message in cause.errors.items():
                    yield document.problem((*path, *way), message)
            else:
                message = f"{cause}, found {shown}" if str(cause).startswith("expected ") else str(cause)
                yield document.problem(path, message)
        case "too_short":
            yield document.problem(path, "expected at least one, found an empty list")
        case "string_too_short":
            yield document.problem(path, 'expected text, found ""')
        case _:
            yield document.problem(path, f"expected {shape().expected(path)}, found {shown}")
