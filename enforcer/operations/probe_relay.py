"""What the admin side does for an app that only the enforcer can reach: the kubelet's probes, and the app's metrics.

In a pod whose app listens on loopback, the kubelet asks here, and this asks the app as the kubelet would have. What may
be asked is in the environment, as `enforcer inject` wrote it: nobody who asks chooses anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enforcer.errors import ConfigError, Problem

PROBES: Final = "ENFORCER_PROBES"
"""Environment variable: JSON, by `<container>/<which>` an action of Kubernetes, its `port` and its `timeoutSeconds`."""
APP_METRICS: Final = "ENFORCER_APP_METRICS"
"""Environment variable: the URL of the app's own metrics."""

_HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 1.0
"""Seconds that a probe may take which says nothing else, as with the kubelet."""
_METRICS_TIMEOUT: Final = 10.0
"""Seconds that the app's metrics may take: the time after which Prometheus gives up unless told."""
_MOST_BYTES: Final = 64 * 1024**2
"""Size of the app's metrics at most. Bounds memory."""
_MOST_REDIRECTS: Final = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked of the app: `timeout` in seconds; headers as Kubernetes has them."""

    kind: str
    port: int
    timeout: float
    path: str = "/"
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""


def read_probes(environment: Mapping[str, str]) -> Mapping[str, Probe]:
    """Read what may be asked, by `<container>/<which>`; raises ConfigError."""
    try:
        stored = json.loads(environment.get(PROBES, "{}"))
        return {path: _probe(kept) for path, kept in stored.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConfigError([Problem(PROBES, 0, 0, "", "not what `enforcer inject` writes")]) from None


def _probe(kept: Mapping[str, Any]) -> Probe:
    port, timeout = int(kept["port"]), float(kept.get("timeoutSeconds") or _TIMEOUT)
    if "httpGet" in kept:
        action = kept["httpGet"]
        path = str(action.get("path") or "/")
        return Probe(
            "httpGet",
            port,
            timeout,
            path if path.startswith("/") else f"/{path}",
            str(action.get("scheme") or "HTTP").lower(),
            tuple((str(one["name"]), str(one["value"])) for one in action.get("httpHeaders") or ()),
        )
    if "grpc" in kept:
        return Probe("grpc", port, timeout, service=str(kept["grpc"].get("service") or ""))
    return Probe("tcpSocket", port, timeout if kept["tcpSocket"] is not None else _TIMEOUT)


async def holds(probe: Probe) -> bool:
    """Ask the app as the kubelet does, and tell whether it is well."""
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.kind == "httpGet":
                return await _http(probe)
            if probe.kind == "grpc":
                from enforcer.operations.grpc_health import is_serving

                return await is_serving(_HOST, probe.port, probe.service)
            _, writer = await asyncio.open_connection(_HOST, probe.port)
            writer.close()
            return True
    except (OSError, EOFError):  # TimeoutError is an OSError
        return False


async def _http(probe: Probe) -> bool:
    import httpx

    headers = (
        dict(probe.headers)
        if any(name.lower() == "user-agent" for name, _ in probe.headers)
        else {
            "User-Agent": "kube-probe/enforcer",
            **dict(probe.headers),
        }
    )
    try:
        # The kubelet verifies no certificate either: the app is reached within the pod.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=probe.timeout) as client:  # noqa: S501
            url = httpx.URL(f"{probe.scheme}://{_HOST}:{probe.port}{probe.path}")
            for _ in range(_MOST_REDIRECTS):
                async with client.stream("GET", url, headers=headers) as answer:
                    following = answer.next_request
                    if following is None or following.url.host != url.host:
                        # A redirect to elsewhere is not followed, and is taken to be well.
                        return 200 <= answer.status_code < 400
                    url = following.url
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return False


def routes(environment: Mapping[str, str]) -> list[Route]:
    """Make the routes of the admin side that ask the app; raises ConfigError."""
    probes = read_probes(environment)
    metrics = environment.get(APP_METRICS)

    async def probe(request: Request) -> Response:
        wanted = probes.get(f"{request.path_params['container']}/{request.path_params['which']}")
        if wanted is None:
            return PlainTextResponse("no such probe\n", 404)
        return PlainTextResponse("ok\n") if await holds(wanted) else PlainTextResponse("the app is not well\n", 503)

    async def app_metrics(request: Request) -> Response:
        found = await _fetch(str(metrics), request.headers.get("accept", "*/*"))
        return found or PlainTextResponse("the app's metrics cannot be fetched\n", 502)

    made = [Route("/probes/{container}/{which}", probe)] if probes else []
    return [*made, Route("/app-metrics", app_metrics)] if metrics else made


async def _fetch(url: str, accept: str) -> Response | None:
    import httpx

    body = bytearray()
    try:
        async with (
            asyncio.timeout(_METRICS_TIMEOUT),
            httpx.AsyncClient(verify=False, trust_env=False) as client,  # noqa: S501
            client.stream("GET", url, headers={"Accept": accept}) as answer,
        ):
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    return None
            kind = answer.headers.get("content-type", "text/plain")
            return Response(bytes(body), answer.status_code, media_type=kind)
    except (OSError, httpx.HTTPError, httpx.InvalidURL):
        return None
