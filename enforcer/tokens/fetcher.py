"""Fetches a document of an authorization server: its keys or its metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.endpoint import Outcome, ServerEndpoint, content
from enforcer.tokens.remote_document import Document

T = TypeVar("T")


class Fetcher(Generic[T]):
    """Fetches one from its place; `read` makes of its bytes what it says, or raises IntrospectionError."""

    def __init__(self, endpoint: ServerEndpoint, read: Callable[[bytes], T]) -> None:
        self._endpoint = endpoint
        self._read = read

    def fetch(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""
        self._endpoint.get(lambda outcome: done(self._told(outcome)))

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        self._endpoint.close()

    def _told(self, outcome: Outcome) -> T | IntrospectionError:
        data = content(outcome)
        try:
            return data if isinstance(data, IntrospectionError) else self._read(data)
        except IntrospectionError as error:
            return error.as_value()


class FirstOf(Generic[T]):
    """Fetches one from the first of several places that has it: the next is asked when one answers something else."""

    def __init__(self, places: Sequence[Document[T]]) -> None:
        self._places = places

    def fetch(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""
        self._ask(0, [], done)

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        for place in self._places:
            place.close()

    def _ask(self, at: int, details: list[str], done: Callable[[T | IntrospectionError], None]) -> None:
        def told(outcome: T | IntrospectionError) -> None:
            # A server that does not answer does not answer at its other places either.
            if not isinstance(outcome, IntrospectionError) or outcome.reason is not IntrospectionFailure.MALFORMED:
                done(outcome)
                return
            details.append(outcome.detail)
            if at + 1 < len(self._places):
                self._ask(at + 1, details, done)
            else:
                every = "; ".join(dict.fromkeys(details))
                done(IntrospectionError(IntrospectionFailure.MALFORMED, every))

        self._places[at].fetch(told)
