"""The operator's side, on a port of its own: is it alive, is it ready, what does it count."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enforcer.telemetry import Telemetry


def admin(telemetry: Telemetry) -> Starlette:
    """Make the operator's application.

    `/livez` answers as long as the process does; `/readyz` is 200 while requests are served, and 503 before that and
    while draining; `/metrics` is Prometheus' text format.
    """

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if telemetry.draining:
            return PlainTextResponse("draining\n", 503)
        return PlainTextResponse("ok\n") if telemetry.ready else PlainTextResponse("starting\n", 503)

    async def metrics(request: Request) -> Response:
        return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])
