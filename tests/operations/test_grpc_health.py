"""gRPC health checking against recorded server bytes."""

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


def check(answer: bytes, service: str = "") -> tuple[bool, bytes]:
    """Return the result of a check against a server that sends `answer`, and the bytes that the server received."""
    sent = b""

    async def run() -> bool:
        closed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(answer)
            with suppress(ConnectionError):  # the client closes early
                while chunk := await reader.read(65536):
                    sent += chunk
            writer.close()
            closed.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            serving = await is_serving("127.0.0.1", server.sockets[0].getsockname()[1], service)
            await closed.wait()
            return serving

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
def test_only_the_status_serving_is_healthy(answer: bytes, serving: bool) -> None:
    """Any other status, an error, or no response within a few frames is unhealthy."""
    assert check(answer)[0] is serving


def test_the_request_names_the_service() -> None:
    """Without a service, the request is about the whole server."""
    answer = SETTINGS + message(b"\x08\x01")
    assert b"\0\0\x10\0\x01\0\0\0\x01\0\0\0\0\x0b\x0a\x09countries" in check(answer, "countries")[1]
    assert b"\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0" in check(answer)[1]
