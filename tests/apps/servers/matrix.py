"""A stand-in for a Matrix home server: two of its paths, with a bearer token of its own."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def room(request: Request) -> JSONResponse:
    """Return the identifier of a room by its alias, as bytes of the path that arrived."""
    if request.headers.get("Authorization") != "Bearer syt_alice":
        return JSONResponse({"errcode": "M_UNKNOWN_TOKEN"}, 401)
    return JSONResponse({"room_id": "!a:example.org", "path": request.scope["raw_path"].decode()})


if __name__ == "__main__":
    routes = [Route("/_matrix/client/v3/directory/room/{alias:path}", room)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]))
