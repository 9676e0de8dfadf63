"""The decrypted input of a TLS connection, read into one buffer that all connections share.

The event loop's TLS reads each record into a new buffer of 256 KiB, unless the protocol on top has a buffer of its own
(asyncio.BufferedProtocol). To allocate and free it takes ten times as long as to decrypt a short record.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_BUFFER: Final = memoryview(bytearray(65536))
"""Filled and copied before anything else runs, so that one is enough. A longer read is continued in the next turn."""


def set_protocol(transport: asyncio.Transport, protocol: Any) -> None:
    """Give a transport's input to a protocol (an asyncio.Protocol by its methods), through the buffer if it is TLS."""
    secured = transport.get_extra_info("ssl_object") is not None
    transport.set_protocol(PlaintextReader(protocol) if secured else protocol)  # type: ignore[arg-type]


class PlaintextReader:
    """The protocol between a TLS transport and `protocol`: an asyncio.BufferedProtocol by its methods."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol: Final = protocol

    def get_buffer(self, size_hint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, size: int) -> None:
        self._protocol.data_received(bytes(_BUFFER[:size]))

    # For event loops that ask for a subclass of asyncio.BufferedProtocol, which a compiled class cannot be
    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def eof_received(self) -> Any:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
