"""The keys of an authorization server, fetched for tokens so that no client uses up the fetches of another.

A token with an unknown key needs newer keys, which are fetched at most once in a pause (see
`tokens.documents.refresh_schedule`). Any client can use up that fetch with a token that it made up. So in the pause
after it:

1. A token of another client waits for the next fetch, with a place in a table in which each client has a share.
2. A token of the same client, or of one that has its share, is verified with the keys that were fetched last.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from enforcer.errors import IntrospectionError
from enforcer.share_report import ShareReport
from enforcer.shares import Holder, Shares
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.wire.callback import Callback
from enforcer.wire.ticker import Ticker

Keys = KeySet | IntrospectionError


class FetchedKeys(Protocol):
    """The keys as they are fetched: a `RemoteDocument`."""

    @property
    def current(self) -> KeySet | None:
        """The last keys that were fetched."""

    @property
    def fetches(self) -> int:
        """The number of fetches that were begun."""

    @property
    def may_refresh(self) -> bool:
        """Whether a refresh gets newer keys now, since it may fetch them, or they are being fetched."""

    def refresh(self, callback: Callback[Keys]) -> Keys | None:
        """Get newer keys, or the last ones."""

    def close(self) -> None:
        """Stop refreshing."""


class _Waiting(NamedTuple):
    client: str
    holder: Holder
    callback: Callback[Keys]


class ClientKeys:
    """The keys of one server, for tokens. At most `size` tokens wait for a fetch; `share` is in percent."""

    def __init__(self, keys: FetchedKeys, ticker: Ticker, size: int, share: int, held_back: ShareReport) -> None:
        self._keys = keys
        self._ticker = ticker
        self._places = Shares(size, share)
        self._held_back = held_back
        self._waiting: list[_Waiting] = []
        self._cause = ""
        self._fetch = 0  # the number of the fetch that `_cause` caused

    @property
    def current(self) -> KeySet | None:
        """The last keys that were fetched."""
        return self._keys.current

    def refresh_for(self, client: str, callback: Callback[Keys]) -> Keys | None:
        """Get newer keys for a token of a client; see above if they must not be fetched now."""
        keys = self._keys
        if keys.may_refresh:
            return self._refresh(client, callback)
        if self._cause == client or self._fetch != keys.fetches:
            return keys.refresh(callback)
        holder = self._places.take(client)
        if holder is None:
            self._held_back.add(client, self._ticker.next)
            return keys.refresh(callback)
        if not self._waiting:
            self._ticker.add(self._sweep)
        self._waiting.append(_Waiting(client, holder, callback))
        return None

    def close(self) -> None:
        """Stop refreshing. Tokens that wait are still verified."""
        self._keys.close()

    def _refresh(self, client: str, callback: Callback[Keys]) -> Keys | None:
        before = self._keys.fetches
        outcome = self._keys.refresh(callback)
        if self._keys.fetches != before:
            self._cause, self._fetch = client, self._keys.fetches
        return outcome

    def _sweep(self, now: float) -> None:
        if not self._keys.may_refresh:
            return
        self._ticker.remove(self._sweep)
        waiting, self._waiting = self._waiting, []
        for client, holder, callback in waiting:
            self._places.give_back(holder)
            # The first one fetches, and the others wait for the same fetch, or get its failure.
            outcome = self._refresh(client, callback)
            if outcome is not None:
                callback(outcome)
