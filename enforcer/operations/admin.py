"""The admin server's application: health, metrics, cache purges, and the reasons of recent denials."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from enforcer.analysis.denial_report import report_denial
from enforcer.decision_log.record import DecisionRecord
from enforcer.operations.logs import rfc3339
from enforcer.secret import Secret
from enforcer.telemetry import Telemetry

_MAX_BODY: Final = 16_384
"""Bytes of a purge request's body. Bounds memory."""


def admin(
    telemetry: Telemetry,
    *,
    purge_cache: Callable[[str, str], int],
    find_denials: Callable[[bytes], Sequence[DecisionRecord]],
    credential: Callable[[], Secret | None],
    extra_routes: Sequence[Route] = (),
) -> Starlette:
    """Return the admin application.

    - `/livez`: 200 while the process answers.
    - `/readyz`: 200 while requests are served, 503 while starting and while draining.
    - `/metrics`: Prometheus' text format.
    - `POST /cache/purge`, with the admin credential: the body is a JSON object with one of `token`, `subject` and
      `client_id`; calls `purge_cache` with that name and value and returns the number of removed entries.
    - `GET /decisions/ID`, with the admin credential: the denied requests with this X-Request-Id, and the reasons.

    Without a configured `credential`, the last two answer 403. It is a function because a reload can change it.
    """

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if telemetry.draining:
            return PlainTextResponse("draining\n", 503)
        return PlainTextResponse("ok\n") if telemetry.ready else PlainTextResponse("starting\n", 503)

    async def metrics(request: Request) -> Response:
        return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    def authentication_error(request: Request) -> Response | None:
        """Return the response to a request without the admin credential; None for a request with it."""
        expected = credential()
        if expected is None:
            return JSONResponse({"detail": "set admin.credential to allow this"}, 403)
        if not _has_credential(request, expected):
            return JSONResponse({"detail": "the admin credential is needed"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    async def decisions(request: Request) -> Response:
        if error := authentication_error(request):
            return error
        denials = find_denials(request.path_params["request_id"].encode())
        if not denials:
            return JSONResponse({"detail": "no recent denial has this id"}, 404)
        return JSONResponse({"decisions": [asdict(report_denial(denial, rfc3339(denial.time))) for denial in denials]})

    async def purge(request: Request) -> Response:
        if error := authentication_error(request):
            return error
        members = await _read_strings(request)
        if members is None or len(members) != 1 or not members.keys() <= {"token", "subject", "client_id"}:
            return JSONResponse({"detail": 'expected {"token": …}, {"subject": …} or {"client_id": …}'}, 400)
        ((name, value),) = members.items()
        return JSONResponse({"purged": purge_cache(name, value)})

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/cache/purge", purge, methods=["POST"]),
            Route("/decisions/{request_id:path}", decisions),
            *extra_routes,
        ]
    )


def _has_credential(request: Request, expected: Secret) -> bool:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    # In constant time, so that the response time tells nothing about the credential.
    return scheme.lower() == "bearer" and hmac.compare_digest(credential.encode(), expected.reveal().encode())


async def _read_strings(request: Request) -> Mapping[str, str] | None:
    """Return the members of a body that is a JSON object of strings; None for any other body."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return None
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or not all(isinstance(value, str) for value in members.values()):
        return None
    return members
