"""Strangers: clients without a good token that never stop, as a program of its own, which takes no time of the others.

They send tokens that they made up, broken DPoP proofs and paths that cannot be read, and open connections whose
handshake, or first request head, comes byte by byte. Each kind has an address of its own, as other people have.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import click
import uvloop
from fairness.bed import in_background

_PAUSE = 0.02  # seconds between two requests of a stranger
_BYTE_PAUSE = 0.2  # seconds between two bytes of a slow handshake
_SLOW = 20  # slow handshakes at a time
_HANDSHAKE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)  # the beginning of a ClientHello
_HEAD = b"GET /allowed/sized/1 HTTP/1.1\r\nHost: a\r\n" + b"X-Field: value\r\n" * 30
_PATHS = ("/allowed/%", "/allowed/%zz", "/allowed/..%2fdenied", "/allowed//x", "/a\\b", "/%ff")


@contextmanager
def strangers(port: int, *, tls: bool = False) -> Iterator[None]:
    """Send everything that strangers send to an enforcer until the block ends."""
    with in_background("soak.strangers", port, *(("--tls",) if tls else ())):
        yield


def _request(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", "")).encode()


def _made_up_token() -> bytes:
    return _request("/allowed/sized/1", f"Authorization: Bearer {secrets.token_urlsafe(32)}")


def _broken_proof() -> bytes:
    proof = ".".join(secrets.token_urlsafe(20) for _ in range(random.choice((1, 3))))
    return _request("/allowed/sized/1", f"Authorization: DPoP {secrets.token_urlsafe(32)}", f"DPoP: {proof}")


def _unreadable_path() -> bytes:
    return _request(random.choice(_PATHS), "Authorization: Bearer good-token")


_KINDS: Mapping[str, Callable[[], bytes]] = {
    "127.0.0.11": _made_up_token,
    "127.0.0.12": _broken_proof,
    "127.0.0.13": _unreadable_path,
}
"""The requests by the address that they come from."""


async def _send(port: int, address: str, make: Callable[[], bytes], tls: ssl.SSLContext | None) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), ssl=tls)
            writer.write(make())
            await reader.read()
            writer.close()
        await asyncio.sleep(_PAUSE)


async def _dawdle(port: int, content: bytes) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.14", 0))
            for index in range(len(content)):
                writer.write(content[index : index + 1])
                await writer.drain()
                await asyncio.sleep(_BYTE_PAUSE)
            writer.close()
        await asyncio.sleep(_PAUSE)


async def _run(port: int, tls: bool) -> None:
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.TaskGroup() as group:
        for address, make in _KINDS.items():
            group.create_task(_send(port, address, make, context))
        for _ in range(_SLOW):
            group.create_task(_dawdle(port, _HANDSHAKE if tls else _HEAD))


@click.command()
@click.argument("port", type=int)
@click.option("--tls", is_flag=True)
def main(port: int, tls: bool) -> None:
    """Send until the process is ended."""
    uvloop.run(_run(port, tls))


if __name__ == "__main__":
    main()
