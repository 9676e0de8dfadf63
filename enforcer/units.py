"""Units of settings, as types: `5s` is read as 5.0 seconds, `64KiB` as 65536 bytes.

The types carry parser and JSON schema for pydantic, so that modules that use them need not import pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_SIZE = re.compile(r"([1-9][0-9]{0,14})(B|KiB|MiB|GiB)")
_PERCENTAGE = re.compile(r"([1-9][0-9]?|100)%")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def parse_duration(value: object) -> float:
    """Parse `250ms`, `5s`, `2m` or `1h` into seconds. Raises ValueError for anything else, also a bare number."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 250ms, 5s, 2m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def parse_positive_duration(value: object) -> float:
    """Parse a duration greater than 0. Raises ValueError."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("expected a duration of more than 0s")
    return seconds


def parse_size(value: object) -> int:
    """Parse `512B`, `64KiB`, `1MiB` or `1GiB` into bytes. Raises ValueError for anything else, also a bare number."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as 512B, 64KiB, 1MiB or 1GiB")
    return int(match[1]) * _BYTES[match[2]]


def parse_percentage(value: object) -> int:
    """Parse `1%` to `100%` into a number. Raises ValueError for anything else, also a bare number."""
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a whole percentage from 1% to 100%")
    return int(match[1])


def parse_count(value: object) -> int:
    """Return a whole number from 1 to 2**31 - 1. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ValueError("expected a whole number of at least 1")
    return value


def parse_switch(value: object) -> bool:
    """Return a boolean. Raises ValueError for anything else, such as the string "true"."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


@dataclass(frozen=True)
class _Unit:
    """The parser and the JSON schema of a unit, for pydantic."""

    parse: Callable[[object], Any]
    schema: dict[str, Any] = field(hash=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True)
class Pattern:
    """A pattern for a text's JSON schema, which editors and Helm check; the section that has the text validates it."""

    pattern: str
    excluded: tuple[str, ...] = ()
    """Texts that match the pattern, and are not valid either."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        excluded = {"not": {"enum": list(self.excluded)}} if self.excluded else {}
        return {**handler(schema), "pattern": self.pattern, **excluded}


Seconds = Annotated[float, _Unit(parse_positive_duration, {"type": "string", "pattern": f"^{_DURATION.pattern}$"})]
SecondsOrZero = Annotated[float, _Unit(parse_duration, {"type": "string", "pattern": f"^{_DURATION.pattern}$"})]
Bytes = Annotated[int, _Unit(parse_size, {"type": "string", "pattern": f"^{_SIZE.pattern}$"})]
Percentage = Annotated[int, _Unit(parse_percentage, {"type": "string", "pattern": f"^{_PERCENTAGE.pattern}$"})]
Count = Annotated[int, _Unit(parse_count, {"type": "integer", "minimum": 1})]
Switch = Annotated[bool, _Unit(parse_switch, {"type": "boolean"})]


class Section:
    """The base of settings: an unknown key is an error, and the docstring below a setting is its description.

    A pydantic TypeAdapter of a section is built on first use, so that a module may have one at no cost.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "use_attribute_docstrings": True, "defer_build": True}
