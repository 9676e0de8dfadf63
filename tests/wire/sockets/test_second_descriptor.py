"""A second descriptor of a socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from enforcer.wire.sockets.second_descriptor import NOT_OPEN, SecondDescriptor


class _Transport:
    """A transport that has only its socket."""

    def __init__(self, connected: socket.socket | None) -> None:
        self._connected = connected

    def get_extra_info(self, name: str) -> Any:
        return self._connected if name == "socket" else None


def second_of(connected: socket.socket | None) -> SecondDescriptor:
    """Return a second descriptor of a socket."""
    return SecondDescriptor(cast("asyncio.Transport", _Transport(connected)))


def test_what_has_arrived_is_read_after_the_first_descriptor_was_closed() -> None:
    """Also if the peer has closed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    second = second_of(ours)
    theirs.sendall(b"answer")
    theirs.close()
    ours.close()
    assert (second.read(), second.read()) == (b"answer", b"")
    second.close()
    second.close()
    assert second.read() == b""


def test_nothing_is_read_if_nothing_has_arrived() -> None:
    """It does not wait."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        second = second_of(ours)
        assert second.read() == b""
        second.close()


def test_without_a_descriptor_nothing_is_read() -> None:
    """The process may open no more, or the transport has no socket."""
    assert NOT_OPEN.read() == second_of(None).read() == b""
