"""A stand-in for RabbitMQ's management API: two of its paths, with Basic credentials of its own."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CREDENTIALS = "Basic Z3Vlc3Q6Z3Vlc3Q="
"""Of the user `guest` with the password `guest`."""


async def queue(request: Request) -> JSONResponse:
    """Return the path that arrived, as bytes: RabbitMQ decodes its segments after it has split it."""
    if request.headers.get("Authorization") != CREDENTIALS:
        return JSONResponse({"error": "not_authorized"}, 401)
    return JSONResponse({"method": request.method, "path": request.scope["raw_path"].decode()})


if __name__ == "__main__":
    routes = [Route("/api/{kind}/{rest:path}", queue, methods=["GET", "PUT", "DELETE"])]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]))
