"""A proxy as written in an afternoon: Starlette as the server, httpx as the client, a dictionary as the cache."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

APP = f"http://127.0.0.1:{os.environ['BACKEND']}"
TTL = 60.0

client = httpx.AsyncClient(limits=httpx.Limits(max_connections=256, max_keepalive_connections=256))
cache: dict[bytes, tuple[float, dict[str, Any]]] = {}


async def introspect(token: str) -> dict[str, Any]:
    """Return the introspection response of a token, from the cache if it is there."""
    key = hashlib.sha256(token.encode()).digest()
    expires_at, response = cache.get(key, (0.0, {}))
    if expires_at < time.monotonic():
        response = (await client.post(f"{APP}/introspect", data={"token": token})).json()
        cache[key] = time.monotonic() + TTL, response
    return response


async def proxy(request: Request) -> Response:
    """Check the token and forward the request."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    introspected = await introspect(token)
    if not introspected["active"] or "country.read" not in introspected["scope"].split():
        return Response(status_code=403)
    body = None if request.method in {"GET", "HEAD"} else request.stream()
    forwarded = client.build_request(request.method, APP + request.url.path, headers=request.headers.raw, content=body)
    upstream = await client.send(forwarded, stream=True)
    headers = {
        name: value for name, value in upstream.headers.items() if name not in {"connection", "transfer-encoding"}
    }
    return StreamingResponse(
        upstream.aiter_raw(), upstream.status_code, headers, background=BackgroundTask(upstream.aclose)
    )


app = Starlette(routes=[Route("/{path:path}", proxy, methods=["GET", "POST"])])
