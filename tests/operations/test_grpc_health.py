"""The health of a gRPC server, as its bytes say it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from enforcer.operations.grpc_health import is_serving

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
HEADERS = b"\0\0\x01\x01\x04\0\0\0\x01\x88"
TRAILERS = b"\0\0\x01\x01\x05\0\0\0\x01\x88"


def message(body: bytes) -> bytes:
    payload = b"\0" + len(body).to_bytes(4, "big") + body
    return len(payload).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + payload


def told(answer: bytes, service: str = "") -> tuple[bool, bytes]:
    """Return what is made of an answer, and what the server was sent."""
    sent = b""

    async def run() -> bool:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(answer)
            with suppress(ConnectionError):  # it has heard enough
                while piece := await reader.read(65536):
                    sent += piece
            writer.close()
            over.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            found = await is_serving("127.0.0.1", server.sockets[0].getsockname()[1], service)
            await over.wait()
            return found

    return asyncio.run(run()), sent


@pytest.mark.parametrize(
    ("answer", "serving"),
    [
        pytest.param(SETTINGS + HEADERS + message(b"\x08\x01") + TRAILERS, True, id="serving"),
        pytest.param(SETTINGS + HEADERS + message(b"\x08\x02") + TRAILERS, False, id="not serving"),
        pytest.param(SETTINGS + HEADERS + message(b"") + TRAILERS, False, id="unknown"),
        pytest.param(SETTINGS + b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x01", False, id="reset"),
        pytest.param(SETTINGS + b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), False, id="go away"),
        pytest.param(SETTINGS * 60, False, id="never an answer"),
        pytest.param(b"\xff\xff\xff\0\0\0\0\0\x01", False, id="a frame too large"),
    ],
)
def test_it_serves_where_the_message_says_so(answer: bytes, serving: bool) -> None:
    """gRPC health checking: SERVING alone is well."""
    assert told(answer)[0] is serving


def test_the_service_is_named() -> None:
    """The whole server is asked about where there is none."""
    answer = SETTINGS + message(b"\x08\x01")
    assert b"\0\0\x10\0\x01\0\0\0\x01\0\0\0\0\x0b\x0a\x09countries" in told(answer, "countries")[1]
    assert b"\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0" in told(answer)[1]
