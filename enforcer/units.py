"""The units of settings, as types: `5s` is read as 5.0 seconds, `64KiB` as 65536 bytes.

pydantic finds the reading and the JSON schema here; the rooms that use the types do not import it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_SIZE = re.compile(r"([1-9][0-9]{0,14})(B|KiB|MiB|GiB)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def parse_duration(value: object) -> float:
    """Read `250ms`, `5s`, `2m` or `1h` as seconds; raises ValueError on anything else, bare numbers included."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a duration such as 250ms, 5s, 2m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def parse_positive_duration(value: object) -> float:
    """Read a duration of more than nothing; raises ValueError."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("expected a duration of more than 0s")
    return seconds


def parse_size(value: object) -> int:
    """Read `512B`, `64KiB`, `1MiB` or `1GiB` as bytes; raises ValueError on anything else, bare numbers included."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a size such as 512B, 64KiB, 1MiB or 1GiB")
    return int(found[1]) * _BYTES[found[2]]


def parse_count(value: object) -> int:
    """Read a whole number of at least 1; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ValueError("expected a whole number of at least 1")
    return value


def parse_switch(value: object) -> bool:
    """Read true or false; raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


@dataclass(frozen=True)
class _Read:
    """Tells pydantic how a unit is read and what its schema is."""

    parse: Callable[[object], Any]
    schema: dict[str, Any] = field(hash=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


Seconds = Annotated[float, _Read(parse_positive_duration, {"type": "string", "pattern": f"^{_DURATION.pattern}$"})]
SecondsOrZero = Annotated[float, _Read(parse_duration, {"type": "string", "pattern": f"^{_DURATION.pattern}$"})]
Bytes = Annotated[int, _Read(parse_size, {"type": "string", "pattern": f"^{_SIZE.pattern}$"})]
Count = Annotated[int, _Read(parse_count, {"type": "integer", "minimum": 1})]
Switch = Annotated[bool, _Read(parse_switch, {"type": "boolean"})]

CLOSED: Any = {"extra": "forbid", "use_attribute_docstrings": True}
"""How settings are read: an unknown key is an error; the docstring under a setting is its description."""
