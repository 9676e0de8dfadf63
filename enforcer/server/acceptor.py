"""Accepts connections, many between two polls of the sockets.

libuv accepts one. If a thousand connections are busy, the requests between two polls take a tenth of a second, and the
next thousand connections would wait for minutes.

1. Accepting takes at most a sixth of the time of everything else. The rest of a connection that carries no request
   costs about as much again, so that a flood of connections takes less than a third of the time from the others.
2. At least one connection is accepted between two polls, so that each waits for a limited time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, Final

_log = logging.getLogger("enforcer")

SHARE: Final = 1 / 6
"""Seconds of accepting for each second since the last time."""
LONGEST: Final = 0.02
"""Maximum number of seconds of accepting between two polls, however long nothing was accepted before."""
_PAUSE: Final = 1.0
"""Seconds until the next attempt if the process or the system has no resources for another connection."""
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Accepts the connections of a listening socket until `close`. Each gets its protocol from `factory`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._factory = factory
        self._clock = clock
        self._ended_at = clock()
        self._paused: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        """Accept no more, and close the socket: connections that wait to be accepted are reset."""
        if self._paused is None:
            self._loop.remove_reader(self._listening)
        else:
            self._paused.cancel()
        self._listening.close()

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        clock = self._clock
        now = clock()
        until = now + min((now - self._ended_at) * SHARE, LONGEST)
        while True:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                break  # otherwise the connection has failed already: accept(2)
            self._connect(connection)
            now = clock()
            if now >= until:
                break
        self._ended_at = now

    def _pause(self, error: OSError) -> None:
        _log.warning("no connection can be accepted: %s; trying again in %g s", error.strerror, _PAUSE)
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(_PAUSE, self._resume)

    def _connect(self, connection: socket.socket) -> None:
        """Connect a protocol to a connection, in the first step of a coroutine.

        A task would take that step behind the next poll, and the first request would be read behind one more.
        """
        connection.setblocking(False)
        steps = self._loop.connect_accepted_socket(self._factory, connection)
        try:
            waiter: asyncio.Future[object] = steps.send(None)
        except Exception:  # noqa: BLE001 - the fault of one connection must not end the others
            _log.exception("internal error")
            connection.close()
        else:
            waiter.add_done_callback(partial(_finish, steps))


def _finish(steps: Coroutine[Any, Any, object], _: asyncio.Future[object]) -> None:
    # RuntimeError: the connection has ended before its protocol was connected.
    with suppress(StopIteration, RuntimeError):
        steps.send(None)
