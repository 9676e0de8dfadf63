"""The operator's side, on a port of its own: is it alive, is it ready, what does it count; and what it may forget."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from enforcer.operations.logs import rfc3339
from enforcer.policy.hindsight import why
from enforcer.policy.journal import Decided
from enforcer.secret import Secret
from enforcer.telemetry import Telemetry

_MOST_BYTES = 16_384  # of a request's body


class Denials(Protocol):
    """The last denials."""

    def find(self, request_id: bytes) -> Sequence[Decided]:
        """Return those of requests with an id, the oldest first."""


class Memory(Protocol):
    """What is remembered of tokens."""

    def purge(self, what: str, value: str) -> int:
        """Forget by `token`, `subject` or `client_id`; returns how many answers there were."""


def admin(
    telemetry: Telemetry,
    memory: Callable[[], Memory],
    denials: Denials,
    credential: Callable[[], Secret | None],
    more: Sequence[Route] = (),
) -> Starlette:
    """Make the operator's application, with `more` routes; what a reload replaces is asked for each time.

    `/livez` answers as long as the process does; `/readyz` is 200 while requests are served, and 503 before that and
    while draining; `/metrics` is Prometheus' text format. Who has the credential, and nobody without one, may use
    `POST /cache/purge`, which takes one of `token`, `subject` and `client_id` as JSON, and `GET /decisions/ID`, which
    tells why the requests with that X-Request-Id were refused.
    """

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if telemetry.draining:
            return PlainTextResponse("draining\n", 503)
        return PlainTextResponse("ok\n") if telemetry.ready else PlainTextResponse("starting\n", 503)

    async def metrics(request: Request) -> Response:
        return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    def stranger(request: Request) -> Response | None:
        """Answer who may not ask; None where they may."""
        needed = credential()
        if needed is None:
            return JSONResponse({"detail": "set admin.credential to allow this"}, 403)
        if not _has(request, needed):
            return JSONResponse({"detail": "the admin credential is needed"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    async def decisions(request: Request) -> Response:
        if refused := stranger(request):
            return refused
        found = denials.find(request.path_params["request_id"].encode())
        if not found:
            return JSONResponse({"detail": "no denial with this id is remembered"}, 404)
        return JSONResponse({"decisions": [asdict(why(one, rfc3339(one.time))) for one in found]})

    async def purge(request: Request) -> Response:
        if refused := stranger(request):
            return refused
        asked = await _members(request)
        if asked is None or len(asked) != 1 or not asked.keys() <= {"token", "subject", "client_id"}:
            return JSONResponse({"detail": 'expected {"token": …}, {"subject": …} or {"client_id": …}'}, 400)
        ((what, value),) = asked.items()
        return JSONResponse({"purged": memory().purge(what, value)})

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/cache/purge", purge, methods=["POST"]),
            Route("/decisions/{request_id:path}", decisions),
            *more,
        ]
    )


def _has(request: Request, credential: Secret) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), credential.reveal().encode())


async def _members(request: Request) -> Mapping[str, str] | None:
    """Return the members of a JSON object of texts, or None for anything else."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return None
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or not all(isinstance(value, str) for value in members.values()):
        return None
    return members
