"""Streams to an upstream: exchanges that keep their connection for long, and tunnels. They have places of their own.

1. A stream holds no place among the short exchanges, so that these never wait for one.
2. There are never more streams than the setting allows, and a client has its share of them.
"""

from __future__ import annotations

from typing import Final, final

from enforcer.settings.connections.pool import StreamSettings
from enforcer.share_report import ShareReport
from enforcer.shares import Holder, Shares


@final
class Streams:
    """The places of an upstream's streams; `after` so many seconds, an exchange is taken for a stream."""

    __slots__ = ("_held_back", "_places", "after")

    def __init__(self, settings: StreamSettings, share: int, held_back: ShareReport) -> None:
        self._places = Shares(settings.connections, share)
        self._held_back = held_back
        self.after: Final = settings.after

    @property
    def count(self) -> int:
        """The number of streams that are open."""
        return self._places.used

    def take(self, client: str | None) -> Holder | None:
        """Take a place for a client; None if its share or the table has no room."""
        return self._places.take(client)

    def report_refusal(self, client: str | None, now: float) -> None:
        """Note that a stream of a client was refused."""
        if self._places.has_room:
            self._held_back.add(client, now)

    def give_back(self, holder: Holder) -> None:
        """Give a place back."""
        self._places.give_back(holder)
