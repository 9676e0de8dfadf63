"""The admin server's application: health, metrics, cache purges, and the reasons of recent denials."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from enforcer.analysis.denial_report import report_denial
from enforcer.decision_log.record import DecisionRecord
from enforcer.operations.admin_access import AdminAccess
from enforcer.operations.logs import rfc3339
from enforcer.operations.slices import Slices
from enforcer.telemetry import Telemetry, process_metrics

_MAX_BODY: Final = 16_384
"""Bytes of a purge request's body. Bounds memory."""
_MAX_DENIALS: Final = 100
"""Denials of one request id that are reported, the newest: clients choose ids, and may use one for all requests."""


def admin(
    telemetry: Telemetry,
    *,
    purge_cache: Callable[[str, str], Iterable[int]],
    find_denials: Callable[[bytes], Sequence[DecisionRecord]],
    access: AdminAccess,
    extra_routes: Sequence[Route] = (),
) -> ASGIApp:
    """Return the admin application.

    - `/livez`: 200 while the process answers.
    - `/readyz`: 200 while requests are served, 503 while starting and while draining.
    - `/metrics`: Prometheus' text format.
    - `POST /cache/purge`, with the admin credential: the body is a JSON object with one of `token`, `subject` and
      `client_id`; calls `purge_cache` with that name and value, which yields the numbers of removed entries.
    - `GET /decisions/ID`, with the admin credential: the denied requests with this X-Request-Id, and the reasons.

    Without a configured credential, the last two answer 403. A request whose Host is another server's is answered 421.
    """
    slices = Slices()

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if telemetry.draining:
            return PlainTextResponse("draining\n", 503)
        return PlainTextResponse("ok\n") if telemetry.ready else PlainTextResponse("starting\n", 503)

    async def metrics(request: Request) -> Response:
        async def exposition() -> AsyncIterator[str]:
            yield await asyncio.to_thread(process_metrics)
            async for batch in slices.batches(telemetry.pieces()):
                yield "".join(batch)

        return StreamingResponse(exposition(), media_type=CONTENT_TYPE_LATEST)

    def authentication_error(request: Request) -> Response | None:
        """Return the response to a request without the admin credential; None for a request with it."""
        if access.settings.credential is None:
            return JSONResponse({"detail": "set admin.credential to allow this"}, 403)
        client = request.client.host if request.client is not None else ""
        wait = access.wait(client, request.headers.get("authorization", ""))
        if wait is None:
            return None
        if wait:
            detail = "too many wrong credentials from this address"
            return JSONResponse({"detail": detail}, 429, {"Retry-After": str(math.ceil(wait))})
        return JSONResponse({"detail": "the admin credential is needed"}, 401, {"WWW-Authenticate": "Bearer"})

    async def decisions(request: Request) -> Response:
        if error := authentication_error(request):
            return error
        denials = find_denials(request.path_params["request_id"].encode())
        if not denials:
            return JSONResponse({"detail": "no recent denial has this id"}, 404)
        reports: list[dict[str, Any]] = []
        async for batch in slices.batches(map(_report, denials[-_MAX_DENIALS:])):
            reports += batch
        return JSONResponse({"decisions": reports})

    async def purge(request: Request) -> Response:
        if error := authentication_error(request):
            return error
        members = await _read_strings(request)
        if members is None or len(members) != 1 or not members.keys() <= {"token", "subject", "client_id"}:
            return JSONResponse({"detail": 'expected {"token": …}, {"subject": …} or {"client_id": …}'}, 400)
        ((name, value),) = members.items()
        removed = [sum(batch) async for batch in slices.batches(purge_cache(name, value))]
        return JSONResponse({"purged": sum(removed)})

    application = Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/cache/purge", purge, methods=["POST"]),
            Route("/decisions/{request_id:path}", decisions),
            *extra_routes,
        ]
    )

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        if all(map(access.is_known, hosts)):
            await application(scope, receive, send)
        else:
            text = "the Host of this request is not in admin.hosts\n"
            await PlainTextResponse(text, 421)(scope, receive, send)

    return guarded


def _report(denial: DecisionRecord) -> dict[str, Any]:
    return asdict(report_denial(denial, rfc3339(denial.time)))


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
