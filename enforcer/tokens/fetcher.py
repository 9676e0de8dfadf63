"""Fetches a document of an authorization server: its keys or its metadata."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError
from enforcer.tokens.introspection import FAILURES
from enforcer.wire.call import Caller, Reply

Done = Callable[[bytes | IntrospectionError], None]


class Fetcher:
    """Fetches one document. `authority` is its Host, `path` its path and query; `caller` bounds time and size."""

    def __init__(self, caller: Caller, authority: str, path: str) -> None:
        self._caller = caller
        self._request = f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json, */*\r\n\r\n".encode()

    def fetch(self, done: Done) -> None:
        """Fetch it; `done` gets the body, or the error, exactly once, now or later."""
        self._caller.call(self._request, lambda outcome: done(_read(outcome)))

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        self._caller.close()


def _read(outcome: Reply | UpstreamError) -> bytes | IntrospectionError:
    if isinstance(outcome, UpstreamError):
        return IntrospectionError(FAILURES[outcome.reason], outcome.detail)
    status = outcome.status
    if status == 200:
        return outcome.body
    unwell = status >= 500 or status == 429
    reason = IntrospectionFailure.UNAVAILABLE if unwell else IntrospectionFailure.MALFORMED
    return IntrospectionError(reason, f"it answered {status}")
