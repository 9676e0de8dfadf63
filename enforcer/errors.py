"""Exceptions for failures. A denied request is a value (`policy.decision.Deny`), never an exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class EnforcerError(Exception):
    """Base class of the exceptions that the enforcer raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in a configuration: its place, and a message that says how to fix it.

    `line` and `column` count from 1; 0 if the place is not in a file. `path` is the dotted path to the value.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


MAX_PROBLEMS: Final = 100
"""Maximum number of errors of a configuration that are reported; there may be as many as values."""


class ConfigError(EnforcerError):
    """All errors of a configuration at once, or the first of very many."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if len(problems) > MAX_PROBLEMS:
            more = Problem(problems[0].file, 0, 0, "", "there are more errors, which are not shown")
            problems = [*problems[:MAX_PROBLEMS], more]
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class SettingsError(ValueError):
    """Errors within one setting, each keyed by its path below that setting."""

    def __init__(self, errors: Mapping[tuple[str | int, ...], str]) -> None:
        super().__init__("; ".join(": ".join([*map(str, path), text]) for path, text in errors.items()))
        self.errors = errors


class MalformedRequestError(EnforcerError):
    """A request that two parsers could read differently, or that is not HTTP. Names the part, never its value."""

    def __init__(self, part: str, why: str, status: int = 400) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part
        self.why = why
        self.status = status


class IntrospectionFailure(StrEnum):
    """Why an authorization server gave no usable response. The values are metric labels."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"  # the server does not accept our own credentials
    MALFORMED = "malformed"
    CIRCUIT_OPEN = "circuit_open"  # the server failed repeatedly; the circuit breaker does not call it for a while


class IntrospectionError(EnforcerError):
    """No verification result: the authorization server gave no usable response.

    `retry_after` is when it may be asked again, in seconds, if that is known.
    """

    def __init__(self, reason: IntrospectionFailure, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    def as_value(self) -> IntrospectionError:
        """Return a copy without the traceback, whose frames would keep the objects of the failed call alive."""
        return IntrospectionError(self.reason, self.detail, self.retry_after)


class UpstreamFailure(StrEnum):
    """Why a server gave no complete response. The values are metric labels."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    OVERLOADED = "overloaded"  # our pool: all connections are busy and its queue is full
    STREAMS = "streams"  # our pool: as many streams are open as there may be


class UpstreamError(EnforcerError):
    """A server that we called gave no complete response.

    `connected` is False if no connection to it could be opened, so that the request had no part in the failure;
    `processed` is False if the server said that it did not process the request, which may then be sent again.
    """

    def __init__(self, reason: UpstreamFailure, detail: str, *, connected: bool = True, processed: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.connected = connected
        self.processed = processed
