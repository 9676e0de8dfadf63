"""A second descriptor of a socket, for what has arrived when the event loop closes the first one.

A server that answers a large upload early, and closes, resets the connection. If the loop notices that by a write, it
closes the socket, although the response waits in its receive buffer.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

_CLOSED: Final = -1
_READ: Final = 65536


class SecondDescriptor:
    """A duplicate of a transport's descriptor; without one, if the process may open no more, nothing is read."""

    __slots__ = ("_number",)

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._number = _CLOSED
        if transport is not None:
            connected: Any = transport.get_extra_info("socket")
            try:
                self._number = os.dup(connected.fileno())
            except (OSError, AttributeError):
                self._number = _CLOSED

    def read(self) -> bytes:
        """Return the next bytes that have arrived; empty if there are none."""
        if self._number == _CLOSED:
            return b""
        try:
            return os.read(self._number, _READ)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the descriptor."""
        number, self._number = self._number, _CLOSED
        if number != _CLOSED:
            os.close(number)


NOT_OPEN: Final = SecondDescriptor(None)
"""Stands for the second descriptor of a connection that has sent only one piece of a body."""
