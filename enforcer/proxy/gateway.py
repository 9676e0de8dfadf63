"""What all client connections share: the way in, the time, and the snapshot that new requests are judged by."""

from __future__ import annotations

import asyncio
import logging
import ssl
from email.utils import formatdate
from time import time
from typing import Any, Final, Protocol

from enforcer.decision_log.buffer import DecisionBuffer
from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.handshake import Handshake
from enforcer.proxy.snapshot import Snapshot
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer.proxy")

_AT_ONCE: Final = 100  # connections that are told of a newer snapshot in one turn of the loop: less than a millisecond


class Held(Protocol):
    """What the gateway keeps the time of: a client's connection, its handshake before, or the tunnel that it became."""

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""

    def sweep(self, now: float, wall: float) -> None:
        """Look at the deadlines: `now` on the loop's clock, `wall` seconds since the epoch."""

    def drain(self) -> None:
        """Tell the client, with the next answer, that the connection ends."""

    def renew(self) -> bool:
        """Go by the gateway's newest snapshot; tells whether nothing of an older one is left."""

    def shutdown(self) -> None:
        """End as soon as nothing is under way."""

    def abort(self) -> None:
        """End at once, so that nothing cut short looks whole."""


class Gateway:
    """The data plane. `connections` is the set that the server under it waits for when it stops.

    With `tls` its clients speak TLS, which is agreed on here: the server under it would count none that has not.
    """

    def __init__(
        self, snapshot: Snapshot, telemetry: Telemetry, ticker: Ticker, tls: ssl.SSLContext | None = None
    ) -> None:
        self.snapshot = snapshot
        self.tls = tls
        self.telemetry = telemetry
        self.ticker = ticker
        self.connections: set[Held] = set()
        self.decisions = DecisionBuffer()
        self.refused: set[Held] = set()  # over the limit: they were told so, and have not read it yet
        self.draining = False
        self._behind: set[Held] = set()  # those that have requests of an older snapshot
        self.date = b""
        self._second = 0
        self._tick(0.0)
        ticker.add(self._tick)
        telemetry.in_flight = lambda: sum(held.busy for held in self.connections)
        telemetry.connections = lambda: len(self.connections)
        telemetry.decisions_left_out = lambda: self.decisions.dropped

    def protocol(self, *, server_state: Any, **_: Any) -> asyncio.Protocol:
        """Make the protocol of a new connection: what uvicorn takes for `http=`."""
        self.connections = server_state.connections
        # A connection is one by its methods.
        return ClientConnection(self) if self.tls is None else Handshake(self, self.tls)  # type: ignore[return-value]

    def drain(self) -> None:
        """Serve on, and tell each client with its next answer that its connection ends."""
        self.draining = True
        for held in self.connections:
            held.drain()

    async def swap(self, snapshot: Snapshot) -> None:
        """Judge what comes from now on by another snapshot; returns when every connection goes by it.

        What has begun ends by its own, but for what streams: that is judged again, and ended where it is denied.
        """
        self.snapshot = snapshot
        for at, held in enumerate((*self.connections, *self.refused), 1):
            if self._is_behind(held):
                self._behind.add(held)
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _is_behind(self, held: Held) -> bool:
        try:
            return not held.renew()
        except Exception:  # noqa: BLE001 - whatever it is, nothing goes on that was not judged
            _log.exception("internal error")
            held.abort()
            return False

    def abort(self) -> None:
        """Cut what is left when the time to drain is over."""
        for held in tuple(self.connections):
            held.abort()

    def _tick(self, now: float) -> None:
        wall = time()
        if int(wall) != self._second:
            self._second = int(wall)
            self.date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode()
        for held in (*self.connections, *self.refused):
            held.sweep(now, wall)
        if self._behind:
            self._behind = {held for held in self._behind & self.connections if self._is_behind(held)}
