"""Opens the sockets to listen on, raises the limit on file descriptors, and serves without handling signals."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import uvicorn

from enforcer.config.model import Config
from enforcer.config.resolved import upstreams
from enforcer.errors import EnforcerError
from enforcer.server.acceptor import Acceptor
from enforcer.settings.connections.addresses import EVERYWHERE, parse_address, with_port
from enforcer.settings.limits import Limits

_log = logging.getLogger("enforcer")

_OTHER_DESCRIPTORS: Final = 256
"""Descriptors for files, listeners, refused connections and the like."""
_NO_IPV6: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class ManagedServer(uvicorn.Server):
    """A server that shares its process with another one and leaves signals to the caller.

    `listening` is set once it accepts connections. `listeners` are sockets with their protocols, for which it accepts
    connections itself (`server.acceptor`) besides the sockets that `serve` is given.
    """

    def __init__(
        self, config: uvicorn.Config, listeners: Iterable[tuple[socket.socket, Callable[..., asyncio.Protocol]]] = ()
    ) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._listeners = list(listeners)
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for listening, protocol in self._listeners:
            factory = partial(protocol, server_state=self.server_state)
            self._acceptors.append(Acceptor(loop, listening, factory))
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class AddressError(EnforcerError):
    """An address that the process cannot listen on."""


def raise_descriptor_limit(config: Config) -> None:
    """Raise RLIMIT_NOFILE to cover every connection that the settings allow; warn if that is not possible."""
    needed = config.limits.connections + _pooled(config) + _reserved(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning(
            "the process may open only %d descriptors, but limits.connections and the pools need %d: "
            "it accepts only %d client connections",
            allowed,
            needed,
            affordable_limits(config).connections,
        )


def affordable_limits(config: Config) -> Limits:
    """Return `limits` with as many client connections as there are descriptors for.

    At most half of the descriptors are left to the pools. Those of the admin server are reserved, so that clients never
    keep health checks out, nor operators clients.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return config.limits
    left = hard - _reserved(config)
    clients = max(left - min(_pooled(config), left // 2), 1)
    return replace(config.limits, connections=min(config.limits.connections, clients))


def _pooled(config: Config) -> int:
    apps, servers = upstreams(config).values(), config.authorization_servers
    of_apps = sum(app.pool.connections + app.streams.connections for app in apps)
    return of_apps + sum(server.pool.connections for server in servers)


def _reserved(config: Config) -> int:
    return config.admin.connections + _OTHER_DESCRIPTORS


def bind(address: str, setting: str) -> list[socket.socket]:
    """Listen on an address and return a socket per host; `setting` names the address's origin in AddressError."""
    hosts, port = parse_address(address)
    sockets: list[socket.socket] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # Not dual-stack: an IPv6 socket that also accepts IPv4 would show clients with IPv4-mapped addresses, which
            # match no `trusted_proxies` entry.
            sockets.append(socket.create_server((host, port), family=family, backlog=2048))
        except OSError as error:
            if sockets and hosts == EVERYWHERE and error.errno in _NO_IPV6:
                break
            for listener in sockets:
                listener.close()
            reason = "it is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            raise AddressError(f"cannot listen on {address}: {reason}; choose another with {setting}") from None
        # With port 0, the first socket chooses the port for all.
        port = sockets[0].getsockname()[1]
    for listener in sockets:
        listener.setblocking(False)
    return sockets


def name_of(sockets: Sequence[socket.socket]) -> str:
    """Return the addresses of sockets, as a text for logs."""
    return ", ".join(with_port(*listener.getsockname()[:2]) for listener in sockets)
