"""Keeps the keys of an authorization server at hand: fetched before they are needed, and once for all who wait."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from enforcer.errors import IntrospectionError
from enforcer.tokens import fetcher
from enforcer.tokens.freshness import Freshness
from enforcer.tokens.jwks import KeySet, parse
from enforcer.tokens.jwt_settings import KeySettings
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer.tokens")

Done = Callable[[KeySet | IntrospectionError], None]


class Document(Protocol):
    """What fetches the key set; a `fetcher.Fetcher`."""

    def fetch(self, done: fetcher.Done) -> None:
        """Fetch it; `done` gets the body, or the error, exactly once, now or later."""

    def close(self) -> None:
        """Keep no connection for later."""


class KeySource:
    """The keys of the authorization server `name`, fetched from `document` by the ticker's clock."""

    def __init__(self, name: str, document: Document, settings: KeySettings, ticker: Ticker) -> None:
        self._name = name
        self._document = document
        self._freshness = Freshness(settings)
        self._ticker = ticker
        self._waiting: list[Done] = []
        self._fetching = self._troubled = False
        ticker.add(self._sweep)

    @property
    def keys(self) -> KeySet | None:
        """The keys that tokens may be verified with; None before the first fetch, and too long after the last."""
        return self._freshness.keys(self._ticker.next)

    def renew(self, done: Done) -> None:
        """Get newer keys for a token that those at hand do not verify; `done` gets them, or the error, exactly once.

        Where the last fetch was a moment ago, nothing is fetched, and `done` gets its outcome at once.
        """
        if not self._fetching and not self._freshness.admits(self._ticker.next):
            done(self._freshness.last)
            return
        self._waiting.append(done)
        self._fetch()

    def close(self) -> None:
        """Fetch no more of itself; who still asks is answered as before."""
        self._ticker.remove(self._sweep)
        self._document.close()

    def _sweep(self, now: float) -> None:
        if self._freshness.is_due(now):
            self._fetch()

    def _fetch(self) -> None:
        if not self._fetching:
            self._fetching = True
            self._document.fetch(self._fetched)

    def _fetched(self, result: bytes | IntrospectionError) -> None:
        outcome = result if isinstance(result, IntrospectionError) else _read(result)
        self._fetching = False
        self._freshness.note(outcome, self._ticker.next)
        self._note(outcome)
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(outcome)

    def _note(self, outcome: KeySet | IntrospectionError) -> None:
        troubled = isinstance(outcome, IntrospectionError)
        if troubled and not self._troubled:
            _log.error("the keys of authorization server %s cannot be fetched: %s", self._name, outcome)
        elif self._troubled and not troubled:
            _log.info("the keys of authorization server %s can be fetched again", self._name)
        self._troubled = troubled


def _read(body: bytes) -> KeySet | IntrospectionError:
    try:
        return parse(body)
    except IntrospectionError as error:
        return error
