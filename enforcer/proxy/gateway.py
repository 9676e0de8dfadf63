"""What all client connections share: the way in, the time, and the snapshot that new requests are judged by."""

from __future__ import annotations

import asyncio
import ssl
from email.utils import formatdate
from time import time
from typing import Any, Protocol

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.handshake import Handshake
from enforcer.proxy.snapshot import Snapshot
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker


class Held(Protocol):
    """What the gateway keeps the time of: a client's connection, its handshake before, or the tunnel that it became."""

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""

    def sweep(self, now: float, wall: float) -> None:
        """Look at the deadlines: `now` on the loop's clock, `wall` seconds since the epoch."""

    def drain(self) -> None:
        """Tell the client, with the next answer, that the connection ends."""

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
        self.refused: set[Held] = set()  # over the limit: they were told so, and have not read it yet
        self.draining = False
        self.date = b""
        self._second = 0
        self._tick(0.0)
        ticker.add(self._tick)
        telemetry.in_flight = lambda: sum(held.busy for held in self.connections)
        telemetry.connections = lambda: len(self.connections)

    def protocol(self, *, server_state: Any, **_: Any) -> asyncio.Protocol:
        """Make the protocol of a new connection: what uvicorn takes for `http=`."""
        self.connections = server_state.connections
        return ClientConnection(self) if self.tls is None else Handshake(self, self.tls)

    def drain(self) -> None:
        """Serve on, and tell each client with its next answer that its connection ends."""
        self.draining = True
        for held in self.connections:
            held.drain()

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
