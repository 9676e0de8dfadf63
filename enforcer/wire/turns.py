"""Turns: peers that send more than a little at once share the event loop.

A socket may hold as much work as its peer likes: thousands of requests, or of chunks, in one read. Such a read is held
as bytes, nothing more is read from that peer, and it is processed in steps, in turns with other such peers. Peers that
send one request at a time never wait for a turn, only for the end of a round.

1. A client works for at most `SHARE` in its turn, less if many clients wait, and at least one step. Its peers, the
   connections that work for it, divide its turn: nobody gets more turns by opening more connections. A step is smaller
   if the peer's last steps took long: many small chunks take more time than one large one.
2. All turns between two polls of the sockets are a round. It lasts for at most `ROUND`, and all rounds together have a
   third of the time that the event loop had for everything else: a flood takes from the others much less than half of
   their throughput. If nothing else was read since the last round, it lasts for a share, so that no time is lost.
3. A large read takes time before its peer's turn, when the event loop fills a buffer. It counts as time of the round
   that let the peer read on.
4. Nothing is lost or reordered. Nothing is read from a peer whose input is held, so its end of input comes after it.
5. All peers together hold no more bytes than `Turns.places` has, and those of a client no more than its share. A peer
   that read more is closed.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.share_report import SharedTable, ShareReport
from enforcer.shares import Holder, Shares

SHARE: Final = 0.0001
"""Seconds that a peer may work in its turn."""
ROUND: Final = 0.001
"""Seconds that all peers together may work between two polls of the sockets."""
_READ: Final = 1e-9
"""Seconds that the event loop takes to read a byte, and to write it if it is passed on as it is."""
STEP: Final = 8192
"""Maximum number of bytes of one step. The smallest chunks make 1,600 pieces of it: about half a millisecond."""
_MIN_STEP: Final = 512
LARGE: Final = 65536
"""Bytes of a read after which the peer waits for a turn even if nothing is held: the event loop would read on."""
PIECES: Final = 64
"""Pieces of a body in one turn, above which the next read of the peer waits for a turn, however small it is."""

_log: Final = logging.getLogger("enforcer.wire")


class Readable(Protocol):
    """The transport of a peer, as far as its input is concerned."""

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`. Pausing twice is the same as pausing once."""

    def resume_reading(self) -> None:
        """Read on. Resuming twice is the same as resuming once."""

    def abort(self) -> None:
        """Close at once."""


class Peer(Protocol):
    """One end of a connection."""

    @property
    def client(self) -> str | None:
        """The key of the client (`clients.client_key`) that it works for; None: it has a turn of its own."""


class Reader(Peer, Protocol):
    """Processes the input of a peer."""

    def on_input(self, data: bytes) -> None:
        """Process the next step."""

    def on_turn_end(self) -> None:
        """Pass on what the steps since the last call have produced: there may be no more for a while."""


class Turns:
    """The peers whose input waits: in a line for each client, in the order of the clients' turns.

    `call_soon` calls a function once, before the sockets are polled for the second time from now. `places`: the bytes
    that all peers together may hold. `closed`: the number of peers that were closed because there was no room for
    theirs. `held_back` counts those that only the share of their client kept from it. `activity` counts the reads of
    all connections that were processed without a turn.
    """

    __slots__ = (
        "_call_soon", "_clock", "_credit", "_ended_at", "_lines", "_reads", "_scheduled", "_seen", "activity", "closed",
        "held_back", "places",
    )  # fmt: skip

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float] = perf_counter
    ) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self._lines: OrderedDict[object, deque[PacedInput]] = OrderedDict()
        self._scheduled = False
        self._ended_at = 0.0  # of the last round
        self._reads = 0.0  # seconds of the reads that the last round permitted
        self._credit = 0.0  # seconds of a third of the others' time that no round has used; negative: used in advance
        self._seen = 0  # activity before the last round
        self.activity = 0
        self.places = Shares(64 * 1024**2, DEFAULT_SHARE)
        self.held_back = ShareReport(SharedTable.INPUT)
        self.closed = 0

    def __len__(self) -> int:
        """Return the number of clients that wait for a turn."""
        return len(self._lines)

    def hold(self, client: str | None, size: int) -> Holder | None:
        """Take places for bytes that are held for a client; None if there are not enough."""
        places = self.places
        holder = places.take(client, size)
        if holder is None:
            self.closed += 1
            if size <= places.size - places.used:
                self.held_back.add(client, self._clock())
        return holder

    def enter(self, peer: PacedInput, client: str | None) -> None:
        """Give a peer a turn in the next round."""
        key: object = peer if client is None else client
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = deque()
        line.append(peer)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._round)

    def _round(self) -> None:
        begin = self._clock()
        elsewhere = begin - self._ended_at - self._reads
        credit = min(self._credit + max(elsewhere, 0.0) / 3, ROUND)
        available = max(credit, SHARE) if self.activity == self._seen else credit
        self._seen = self.activity
        self._ended_at = begin
        self._reads = 0.0
        if available > 0:
            self._give_turns(begin, begin + available)
        self._credit = max(credit - (self._ended_at - begin) - self._reads, -ROUND)
        self._scheduled = len(self._lines) > 0
        if self._scheduled:
            self._call_soon(self._round)

    def _give_turns(self, now: float, end: float) -> None:
        clock, lines = self._clock, self._lines
        share = min(SHARE, ROUND / len(lines))
        reads = 0.0
        for _ in range(len(lines)):
            client, line = next(iter(lines.items()))
            until = min(now + reads + share, end)
            for _ in range(len(line)):
                peer = line.popleft()
                if self._work(peer, now, until - reads):
                    line.append(peer)
                else:
                    reads += peer.read * _READ
                now = clock()
                if now + reads >= until:
                    break
            if line:
                lines.move_to_end(client)
            else:
                del lines[client]
            if now + reads >= end:
                break
        self._ended_at = now
        self._reads = reads

    def _work(self, peer: PacedInput, now: float, until: float) -> bool:
        try:
            return peer.take_turn(now, until, self._clock)
        except Exception:  # noqa: BLE001 - the fault of one peer's input must not end the turns of the others
            _log.exception("internal error")
            peer.abort()
            return False


class PacedInput:
    """The input of one peer: what was read and not processed yet, and whether more is read.

    A step ends behind the first `boundary` in it, if there is one. `waiting`: input is held. `blocked`: the reader can
    take nothing for now. `read`: bytes of the last read after which the peer waited for a turn.
    """

    __slots__ = (
        "_boundary", "_counted", "_data", "_holder", "_position", "_queued", "_reader", "_step", "_turns", "blocked",
        "read", "transport", "waiting",
    )  # fmt: skip

    def __init__(self, turns: Turns, transport: Readable, reader: Reader, boundary: bytes = b"") -> None:
        self._turns = turns
        self.transport = transport
        self._reader: Reader | None = reader
        self._boundary = boundary
        self._data = b""
        self._position = 0  # of the first byte in `_data` that was not processed
        self._holder: Holder | None = None  # of the bytes that are counted
        self._counted = 0
        self._queued = False
        self._step = STEP
        self.blocked = False
        self.read = 0
        self.waiting = False

    def add(self, data: bytes) -> None:
        """Hold what was read until the peer's turn, and read no more until then."""
        self._hold(self.take() + data)
        self.wait(len(data))

    def begin(self, data: bytes) -> bytes:
        """Hold what was read; return its first step, to be processed at once. After it, `take` the rest or `wait`."""
        self._hold(data)
        return self.next_step()

    def put_back(self, data: bytes) -> None:
        """Hold the rest of a step: it comes before what is held already."""
        if data:
            self._hold(data + self.take())
            self.wait()

    def take(self) -> bytes:
        """Return what is held, and hold nothing any more."""
        if not self.waiting:
            return b""
        rest = self._data[self._position :]
        self._hold(b"")
        return rest

    def wait(self, read: int = 0) -> None:
        """Read no more until the peer's turn: there is input left, or it has just had a large read, of `read` bytes."""
        reader = self._reader
        if reader is None:
            return
        if self.waiting and self._holder is None and not self._count(reader.client):
            self.take()
            self.transport.abort()
            return
        self.read = read
        self.transport.pause_reading()
        if not self.blocked and not self._queued:
            self._queued = True
            self._turns.enter(self, reader.client)

    def block(self) -> None:
        """Process nothing and read nothing until `unblock`."""
        self.blocked = True
        self.transport.pause_reading()

    def unblock(self) -> None:
        """Process what is held, and read on after it."""
        self.blocked = False
        if self.waiting:
            self.wait()
        elif not self._queued:
            self.transport.resume_reading()

    def discard(self) -> None:
        """Drop what is held, and read on."""
        self.take()
        self.unblock()

    def close(self) -> None:
        """Drop everything: the connection has ended, or its input belongs to another reader."""
        self.take()
        self._reader = None

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def take_turn(self, now: float, until: float, clock: Callable[[], float]) -> bool:
        """Process steps until the time is over, at least one; return whether the peer needs another turn."""
        reader = self._reader
        if reader is None:
            return False
        while self.waiting and not self.blocked:
            reader.on_input(self.next_step())
            begin, now = now, clock()
            if now - begin > SHARE:
                self._step = max(self._step // 2, _MIN_STEP)
            elif now - begin < SHARE / 8:
                self._step = min(self._step * 2, STEP)
            if now >= until:
                break
        reader.on_turn_end()
        if self.waiting and not self.blocked:
            return True
        self._queued = False
        if not self.waiting and not self.blocked and self._reader is not None:
            self.transport.resume_reading()
        return False

    def next_step(self) -> bytes:
        """Return the next step of what is held, which is held no longer."""
        data, start = self._data, self._position
        end = min(start + self._step, len(data))
        if self._boundary:
            boundary = data.find(self._boundary, start, end)
            if boundary >= 0:
                end = boundary + len(self._boundary)
        self._position = end
        if end == len(data):
            self._hold(b"")
        return data[start:end]

    def _count(self, client: str | None) -> bool:
        """Count what is held, which waits from now on; return whether there is room for it."""
        self._holder = self._turns.hold(client, len(self._data))
        self._counted = 0 if self._holder is None else len(self._data)
        return self._holder is not None

    def _hold(self, data: bytes) -> None:
        # Counted only when it has to wait: most input is processed before anything else can come.
        if self._holder is not None:
            self._turns.places.give_back(self._holder, self._counted)
            self._holder = None
            self._counted = 0
        self._data = data
        self._position = 0
        self.waiting = len(data) > 0
