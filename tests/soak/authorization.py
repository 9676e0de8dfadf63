"""The authorization server of the soak: an ASGI application that says what a token is worth by its name.

`good-N` has the scope, `weak-N` another one, and all else is not active. Now and then it fails, as servers do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

_FAILING = 0.005  # of all calls


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer one introspection."""
    if scope["type"] != "http":
        return
    form = parse_qs((await receive()).get("body", b"").decode())
    kind, _, number = form["token"][0].partition("-")
    answer: dict[str, object] = {"active": kind in ("good", "weak")}
    if answer["active"]:
        answer |= {"scope": "read" if kind == "good" else "other", "sub": f"user-{number}"}
    status, body = 200, json.dumps(answer).encode()
    if random.random() < _FAILING:
        status, body = random.choice([(500, b""), (200, body[: len(body) // 2]), (401, body), (204, b"")])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers[: 1 if status == 204 else 2]})
    await send({"type": "http.response.body", "body": body})
