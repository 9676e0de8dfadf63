"""The app of the soak test: an ASGI application that records requests that must not reach it.

`/allowed/...` is for tokens with the scope, `/denied/...` must never arrive. Each violation is a line in the file
VIOLATIONS.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from soak.payload import is_whole, make

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_CHUNK = 20_000
_FAILURE_RATE = 0.01  # of all chunks of responses


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Respond to one request, or echo the messages of one WebSocket."""
    if scope["type"] not in ("http", "websocket"):
        return
    kind, *rest = scope["path"].removeprefix("/allowed/").split("/")
    if violation := _violation(scope):
        _record(f"{scope.get('method', 'websocket')} {scope['path']}: {violation}")
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    elif kind == "upload":
        await _upload(receive, send)
    elif kind == "events":
        await _events(int(rest[0]), send)
    else:
        await _download(int(rest[0]), kind == "sized", send)


def _violation(scope: dict[str, Any]) -> str | None:
    if not scope["path"].startswith("/allowed/"):
        return "a denied request was forwarded"
    fields = dict(scope["headers"])
    token = fields.get(b"authorization", b"").removeprefix(b"Bearer good-")
    if fields.get(b"x-auth-subject") != b"user-" + token:
        return "the identity is not the token's"
    return None


def _record(violation: str) -> None:
    with Path(os.environ["VIOLATIONS"]).open("a") as file:
        file.write(f"{violation}\n")


async def _download(size: int, sized: bool, send: Send) -> None:
    body = make(size)
    headers = [(b"content-length", b"%d" % len(body))] if sized else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for offset in range(0, len(body), _CHUNK):
        if offset and random.random() < _FAILURE_RATE:
            raise RuntimeError("the app fails within its response")
        await send({"type": "http.response.body", "body": body[offset : offset + _CHUNK], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _upload(receive: Receive, send: Send) -> None:
    chunks = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        chunks.append(event.get("body", b""))
        if not event.get("more_body"):
            break
    body = b"".join(chunks)
    if not is_whole(body):
        _record(f"an upload of {len(body)} bytes is truncated or changed, but looked complete")
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _events(count: int, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(count):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event["bytes"]})
