"""The encrypted input of a TLS connection: what goes to TLS at once, and what waits for a turn."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.playbook import Pipe, play

from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.turns import STEP, Turns

RECORD = b"\x17\x03\x03\x00\x05hello"


class Tls:
    """Stands for the event loop's TLS protocol."""

    def __init__(self) -> None:
        self._buffer = bytearray(2 * STEP)
        self.received: list[bytes] = []
        self.events: list[str] = []

    def get_buffer(self, hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        self.received.append(bytes(self._buffer[:size]))

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("connection_lost")

    def __getattr__(self, name: str) -> Any:
        return lambda: self.events.append(name)


class Nobody:
    """Stands for the connection on top, which works for no client."""

    client = None


class Bed:
    """A reader between a transport and TLS."""

    def __init__(self) -> None:
        self.turns = Turns(asyncio.get_running_loop().call_soon)
        self.tls = Tls()
        self.pipe = Pipe()
        self.reader = TlsReader(self.turns, self.pipe, self.tls, Nobody())

    async def settle(self) -> None:
        """Let all turns end."""
        left = 2
        while left:
            await asyncio.sleep(0)
            left = 2 if len(self.turns) else left - 1


def test_a_handshake_waits_for_its_turns() -> None:
    """Each may cost a signature, so many at once must not be one turn of the loop."""

    async def script() -> None:
        bed = Bed()
        bed.reader.start(RECORD)
        assert (bed.pipe.protocol, bed.tls.received, bed.reader.waiting) == (bed.reader, [], True)
        await bed.settle()
        bed.pipe.receive(RECORD)
        assert (bed.tls.received, bed.pipe.paused) == ([RECORD], True)
        await bed.settle()
        assert (bed.tls.received, bed.pipe.paused, bed.reader.waiting) == ([RECORD] * 2, False, False)

    play(script())


def test_one_whole_record_is_decrypted_at_once_and_many_in_steps() -> None:
    """Of records of one byte, a read holds thousands."""

    async def script() -> None:
        bed = Bed()
        bed.reader.start(RECORD)
        await bed.settle()
        bed.reader.established = True
        bed.pipe.receive(RECORD)
        assert (len(bed.tls.received), bed.pipe.paused) == (2, False)
        for data in (RECORD * 2, RECORD[:-1], RECORD * 3000, b"\x17"):
            before = len(bed.tls.received)
            bed.pipe.receive(data)
            assert (len(bed.tls.received), bed.pipe.paused) == (before, True)
            await bed.settle()
            assert b"".join(bed.tls.received[before:]) == data
            assert max(map(len, bed.tls.received)) <= STEP

    play(script())


def test_a_paused_connection_decrypts_nothing() -> None:
    """Its encrypted bytes are held here, and their order is kept."""

    async def script() -> None:
        bed = Bed()
        bed.reader.pause_reading()
        bed.reader.start(RECORD)
        await bed.settle()
        assert (bed.tls.received, bed.pipe.paused) == ([], True)
        bed.reader.resume_reading()
        await bed.settle()
        assert (bed.tls.received, bed.pipe.paused) == ([RECORD], False)

    play(script())


def test_all_else_goes_to_tls() -> None:
    """It closes the connection, and is notified of a client that reads slowly or is gone."""

    async def script() -> None:
        bed = Bed()
        bed.reader.pause_writing()
        bed.reader.resume_writing()
        bed.reader.eof_received()
        bed.reader.connection_lost(None)
        assert bed.tls.events == ["pause_writing", "resume_writing", "eof_received", "connection_lost"]
        bed.reader.abort()
        assert bed.pipe.aborted

    play(script())
