"""Opens TCP connections to a server by its name: one dead address delays a connection, and prevents none (RFC 8305).

Neither uvloop nor the resolver does this: uvloop waits for each address to fail before it tries the next one, and an
address that drops packets fails only after minutes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from enforcer.wire.dialing.address_list import Address, AddressList

ATTEMPT_DELAY: Final = 0.25
"""Seconds after which the next address is tried while the last one has not responded (RFC 8305 §5)."""

Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Returns the addresses of a name and port; raises OSError."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Return the addresses that the system's resolver knows. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(0, "the name is not valid") from error
    return [Address(int(family), sockaddr) for family, _, _, _, sockaddr in infos]


class Dialer:
    """Opens connections to `host`, a name, and `port`. `addresses` are known to all connections of a pool."""

    def __init__(
        self,
        host: str,
        port: int,
        addresses: AddressList,
        loop: asyncio.AbstractEventLoop,
        resolver: Resolver = resolve,
    ) -> None:
        self._host = host
        self._port = port
        self._loop = loop
        self._resolver = resolver
        self._resolving: asyncio.Task[OSError | None] | None = None
        self.addresses = addresses

    async def connect(self) -> tuple[socket.socket, Address]:
        """Open a connection to the first address that accepts it. Raises the OSError of the last that did not."""
        if self.addresses.needs_resolving(self._loop.time()):
            await self._resolve()
        race = _Race(self.addresses, self._loop)
        try:
            return await race.run()
        finally:
            race.stop()

    async def _resolve(self) -> None:
        """Resolve the name, once for all connections that are being opened."""
        task = self._resolving
        if task is None:
            task = self._resolving = self._loop.create_task(self._update(), name=f"resolve {self._host}")
        # Shielded, because the connection that began it may give up before the others.
        error = await asyncio.shield(task)
        if error is not None and self.addresses.is_empty:
            raise error

    async def _update(self) -> OSError | None:
        try:
            addresses = await self._resolver(self._host, self._port)
        except OSError as error:
            self.addresses.update((), self._loop.time())
            return error
        finally:
            self._resolving = None
        self.addresses.update(addresses, self._loop.time())
        return None


class _Race:
    """The attempts of one connection."""

    def __init__(self, addresses: AddressList, loop: asyncio.AbstractEventLoop) -> None:
        self._addresses = addresses
        self._loop = loop
        self._attempts: dict[asyncio.Task[socket.socket], tuple[Address, float]] = {}
        self._failure = OSError(0, "the name has no address")

    async def run(self) -> tuple[socket.socket, Address]:
        """Start an attempt for each address, one after the other, until one of them succeeds."""
        waiting = self._addresses.in_order(self._loop.time())
        while waiting or self._attempts:
            if waiting:
                address = waiting.pop(0)
                task = self._loop.create_task(self._attempt(address), name=f"connect {address.host}")
                self._attempts[task] = address, self._loop.time()
            done, _ = await asyncio.wait(
                self._attempts, timeout=ATTEMPT_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                winner = self._take(task)
                if winner is not None:
                    return winner
        raise self._failure

    def stop(self) -> None:
        """End the attempts that are still running. Their addresses had their time and did not respond."""
        now = self._loop.time()
        for task, (address, started) in self._attempts.items():
            if not task.done():
                task.cancel()
                if now - started >= ATTEMPT_DELAY:
                    self._addresses.record_failure(address, now)
            elif not task.cancelled() and task.exception() is None:
                task.result().close()

    def _take(self, task: asyncio.Task[socket.socket]) -> tuple[socket.socket, Address] | None:
        address, _ = self._attempts.pop(task)
        error = task.exception()
        if error is None:
            self._addresses.record_success(address)
            return task.result(), address
        if not isinstance(error, OSError):
            raise error
        self._failure = error
        self._addresses.record_failure(address, self._loop.time())
        return None

    async def _attempt(self, address: Address) -> socket.socket:
        connection = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await self._loop.sock_connect(connection, address.sockaddr)
        except BaseException:
            connection.close()
            raise
        return connection
