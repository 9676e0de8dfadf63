"""The authorization server of the soak test: an ASGI application whose introspection responses depend on the token.

`good-N` is active and has the scope, `weak-N` is active with another scope, other tokens are inactive. Some calls fail.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

_FAILURE_RATE = 0.005  # of all calls


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Respond to one introspection request."""
    if scope["type"] != "http":
        return
    form = parse_qs((await receive()).get("body", b"").decode())
    kind, _, number = form["token"][0].partition("-")
    content: dict[str, object] = {"active": kind in ("good", "weak")}
    if content["active"]:
        content |= {"scope": "read" if kind == "good" else "other", "sub": f"user-{number}"}
    status, body = 200, json.dumps(content).encode()
    if random.random() < _FAILURE_RATE:
        status, body = random.choice([(500, b""), (200, body[: len(body) // 2]), (401, body), (204, b"")])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers[: 1 if status == 204 else 2]})
    await send({"type": "http.response.body", "body": body})
