"""A pool that speaks HTTP/2, without sockets: a script drives its exchanges and the servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from h2.settings import SettingCodes

from enforcer.errors import UpstreamError
from enforcer.settings.connections.http2 import Http2Settings
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.carrier import Carrier, Receiver, UpgradedConnection
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.pool import Pool
from enforcer.wire.streams import Streams
from enforcer.wire.ticker import Ticker
from harness.http2_server import Http2Server
from harness.playbook import Pipe

HEAD = b"POST /thing HTTP/1.1\r\nHost: app.test\r\nX-Name: value\r\n\r\n"


class Exchange(Receiver):
    """A receiver that sends its request as soon as there is a carrier, and records its events."""

    def __init__(self, bed: Bed, client: str, head: bytes, options: Mapping[str, bool]) -> None:
        self._bed = bed
        self._head = head
        self._options = options
        self.client = client
        self.carrier: Carrier | None = None
        self.carriers = 0
        self.events: list[Any] = []
        self.error: UpstreamError | None = None
        self.raises = False

    @property
    def stream(self) -> Carrier:
        assert self.carrier is not None
        return self.carrier

    def request(self, *, fresh: bool = False) -> None:
        outcome = self._bed.pool.request(self, fresh=fresh)
        if isinstance(outcome, UpstreamError):
            self.on_failure(outcome, False)
        elif outcome is not None:
            self.on_connection(outcome)

    def on_connection(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.carriers += 1
        carrier.send(self, self._head, **self._options)

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        self.events.append((status, b"".join(lines)))

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self.events.append((status, reason, b"".join(lines), sized))

    def on_body(self, data: bytes) -> None:
        if self.raises:
            raise RuntimeError("broken")
        self.events.append(data)

    def on_flush(self) -> None:
        self.events.append("flush")

    def on_complete(self, trailers: list[bytes]) -> None:
        self.events.append(("complete", b"".join(trailers)))

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: UpgradedConnection, rest: bytes) -> None:
        raise AssertionError

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self.error = error
        self.events.append(("failure", error.reason, unanswered, error.processed))

    def on_full(self) -> None:
        self.events.append("full")

    def on_drained(self) -> None:
        self.events.append("drained")


class Bed:
    """A pool, and the servers' ends of its connections."""

    def __init__(
        self,
        http2: Mapping[str, Any] | None = None,
        server: Mapping[SettingCodes, int] | None = None,
        settings: Mapping[str, Any] | None = None,
        streams: Streams | None = None,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._before = loop.create_connection, loop.get_exception_handler()
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]
        loop.set_exception_handler(lambda _, context: self.reports.append(context["exception"]))
        self.ticker = Ticker(loop)
        self.ticker.stop()
        self.reports: list[BaseException] = []
        self.servers: list[Http2Server] = []
        self.speaks: bytes | None = None
        self.settings = PoolSettings(**settings or {})
        self._server = server
        self.pool = Pool(
            ServerAddress(host="127.0.0.1", port=1, protocol="h2c"),
            self.settings,
            self.ticker,
            loop,
            http2=Http2Settings(**http2 or {}),
            streams=streams,
        )

    def close(self) -> None:
        """Give the event loop back."""
        self._loop.create_connection, handler = self._before  # type: ignore[method-assign]
        self._loop.set_exception_handler(handler)

    async def _connect(self, factory: Callable[[], Any], *_: object, **__: object) -> tuple[Pipe, Any]:
        pipe = Pipe(factory())
        pipe.protocol.connection_made(pipe)
        if self.speaks is not None:
            pipe.receive(self.speaks)
        else:
            server = Http2Server(pipe, self._server)
            self.servers.append(server)
            server.start()
        return pipe, pipe.protocol

    @property
    def server(self) -> Http2Server:
        """The end of the newest connection."""
        self.servers[-1].read()
        return self.servers[-1]

    @property
    def heads(self) -> list[int]:
        """The number of requests on each connection."""
        for server in self.servers:
            server.read()
        return [len(server.heads) for server in self.servers]

    async def settle(self) -> None:
        """Run the event loop until nothing more happens without input."""
        for _ in range(5):
            await asyncio.sleep(0)
        for _ in range(100):
            if len(self.ticker.turns):
                await asyncio.sleep(0)

    def exchange(self, client: str, head: bytes = HEAD, **options: bool) -> Exchange:
        """Return an exchange that has not begun."""
        return Exchange(self, client, head, options)

    async def begin(self, client: str = "one", head: bytes = HEAD, **options: bool) -> Exchange:
        """Begin an exchange."""
        exchange = self.exchange(client, head, **options)
        exchange.request()
        await self.settle()
        return exchange

    def sweep(self, seconds: float) -> None:
        """Let time pass."""
        self.ticker.next += seconds
        self.pool._sweep(self.ticker.next)


Script = Callable[[Bed], Coroutine[Any, Any, None]]


def play(
    script: Script, *, http2: Any = None, server: Any = None, streams: Streams | None = None, **settings: Any
) -> None:
    """Run a script, after which no exception may have been reported."""

    async def run() -> None:
        bed = Bed(http2, server, settings, streams)
        await script(bed)
        assert bed.reports == []

    asyncio.run(run())
