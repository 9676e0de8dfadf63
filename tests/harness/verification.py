"""Counterparts of a verifier in memory: a token source, the keys of a server, and a listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import read_claims
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.verifier import VerificationOutcome
from enforcer.wire.callback import Callback

DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")


class FakeSource:
    """A token source. It responds when `respond` is called, or at once (`at_once`), and records the tokens.

    `results` overrides the result of a token.
    """

    def __init__(self, tokens: Mapping[bytes, Mapping[str, Any]], *, at_once: bool = False) -> None:
        self.tokens = dict(tokens)
        self.at_once = at_once
        self.up = True
        self.results: dict[bytes, IntrospectionOutcome] = {}
        self.seen: list[bytes] = []
        self._pending: list[tuple[bytes, Callback[IntrospectionOutcome]]] = []

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        token = lookup.token
        self.seen.append(token)
        if self.at_once:
            return self._result(token)
        self._pending.append((token, callback))
        return None

    def circuit_open(self) -> bool:
        return False

    def close(self) -> None:
        raise AssertionError("a verifier closes nothing")

    def respond(self) -> None:
        """Respond to all requests so far."""
        pending, self._pending = self._pending, []
        for token, callback in pending:
            callback(self._result(token))

    def _result(self, token: bytes) -> IntrospectionOutcome:
        if not self.up:
            return DOWN
        if token in self.results:
            return self.results[token]
        members = self.tokens.get(token)
        return INACTIVE if members is None else read_claims(members)


class FakeKeys:
    """A server's keys: `current`, and `newer` after a refresh."""

    def __init__(self, current: KeySet | None, newer: KeySet | IntrospectionError) -> None:
        self.current = current
        self.newer = newer
        self.at_once = True
        self.refreshes = 0
        self.closed = False
        self._pending: list[Callback[KeySet | IntrospectionError]] = []

    def refresh(self, callback: Callback[KeySet | IntrospectionError]) -> KeySet | IntrospectionError | None:
        self.refreshes += 1
        if self.at_once:
            return self.newer
        self._pending.append(callback)
        return None

    def refresh_for(
        self, client: str, callback: Callback[KeySet | IntrospectionError]
    ) -> KeySet | IntrospectionError | None:
        return self.refresh(callback)

    def respond(self) -> None:
        """Let the running refreshes end."""
        pending, self._pending = self._pending, []
        for callback in pending:
            callback(self.newer)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeListener:
    """Records the outcomes, each as `show` shows it."""

    show: Callable[[VerificationOutcome], object]
    client: str = "192.0.2.1"
    outcomes: list[object] = field(default_factory=list)

    def on_verification(self, outcome: VerificationOutcome) -> None:
        self.outcomes.append(self.show(outcome))
