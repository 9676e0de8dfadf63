"""The faults. A denial is a value (`policy.decision.Deny`), never one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class EnforcerError(Exception):
    """Base of every fault that the enforcer raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where it stands and what to do about it.

    `line` and `column` count from 1; 0 where the place is not in a file. `path` is the dotted way to the value.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(EnforcerError):
    """All the mistakes of a configuration at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class FaultsError(ValueError):
    """Mistakes within one value, each with the way to it from there."""

    def __init__(self, faults: Mapping[tuple[str | int, ...], str]) -> None:
        super().__init__("; ".join(": ".join([*map(str, way), text]) for way, text in faults.items()))
        self.faults = faults


class MalformedRequestError(EnforcerError):
    """A request that two parsers could read differently, or that is no HTTP at all. Names the part, never its value."""

    def __init__(self, part: str, why: str, status: int = 400) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part
        self.why = why
        self.status = status


class IntrospectionFailure(StrEnum):
    """Why an authorization server gave no usable answer. The values are metric labels."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"  # it does not accept our own credentials
    MALFORMED = "malformed"
    CIRCUIT_OPEN = "circuit_open"  # it failed several times, and is left alone for a while


class IntrospectionError(EnforcerError):
    """The authorization server did not say what the token is worth."""

    def __init__(self, reason: IntrospectionFailure, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def as_value(self) -> IntrospectionError:
        """Return it as it was before it was raised: what was raised holds all that was under way then."""
        return IntrospectionError(self.reason, self.detail)


class UpstreamFailure(StrEnum):
    """Why a server gave no whole answer. The values are metric labels."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    OVERLOADED = "overloaded"  # all connections busy and the queue full: ours, not the server's


class UpstreamError(EnforcerError):
    """A server that we called gave no whole answer."""

    def __init__(self, reason: UpstreamFailure, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
