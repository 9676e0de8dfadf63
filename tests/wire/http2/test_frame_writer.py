"""The writer of frames: what it does with bodies that cannot be sent any more."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

from enforcer.wire.http2.frame_writer import FrameWriter
from enforcer.wire.http2.state_machine import BoundedConnection


class ClosedTransport(asyncio.Transport):
    """A connection that has ended."""

    def is_closing(self) -> bool:
        return True


class Body:
    """A body that nothing was sent of."""

    number = 1
    unsent = b"body"
    ends = True

    def on_end_sent(self) -> None:
        raise AssertionError

    def on_sent(self) -> None:
        raise AssertionError

    def on_wait(self) -> None:
        raise AssertionError


def test_bodies_are_dropped_with_the_connection() -> None:
    """A reference to them would be a circle by way of their connection, which only the garbage collector frees."""
    scheduled: list[Callable[[], None]] = []
    machine = BoundedConnection(client_side=True, streams=1, window=65535, head=1024, fields=16)
    writer = FrameWriter(machine, ClosedTransport(), scheduled.append)
    body = Body()
    dropped = weakref.ref(body)
    writer.send_body(body)
    del body
    assert dropped() is not None
    scheduled.pop()()
    assert dropped() is None
