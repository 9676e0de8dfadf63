"""Port numbers for programs that cannot choose a free port themselves, and for servers that are down."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

_BELOW_EPHEMERAL = range(15_000, 32_000)
"""Ports that the kernel gives neither to `bind(0)` nor to outgoing connections, so that nobody else takes one."""


def unused_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_BELOW_EPHEMERAL)
        if port not in ports and _is_unused(port):
            ports.append(port)
    return ports


def _is_unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Return whether a program listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port on which connections are refused until the block ends: it is bound, and nothing listens."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def silent_address(host: str, port: int) -> Iterator[None]:
    """Make an address of this machine one that does not respond: the kernel drops attempts to connect to it."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):  # they fill the backlog
            client = stack.enter_context(closing(socket.socket()))
            client.setblocking(False)
            client.connect_ex((host, port))
        yield


def hold(port: int) -> socket.socket:
    """Keep the port of a server that was closed, so that no other program listens there in its place."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    return holder
