"""Relays the kubelet's probes and the app's metrics to an app that only the enforcer can reach.

In a pod whose app listens on loopback, the kubelet probes the admin server, which probes the app as the kubelet would.
Ports and paths come from the environment, as written by `enforcer inject`: clients of the admin server choose neither.
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
"""Environment variable: JSON, maps `<container>/<probe>` to a Kubernetes probe action, `port` and `timeoutSeconds`."""
APP_METRICS: Final = "ENFORCER_APP_METRICS"
"""Environment variable: the URL of the app's metrics."""

_HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 1.0
"""Seconds. The default timeout of a probe, as in Kubernetes."""
_METRICS_TIMEOUT: Final = 10.0
"""Seconds. The default scrape timeout of Prometheus."""
_MAX_METRICS: Final = 64 * 1024**2
"""Bytes of the app's metrics. Bounds memory."""
_MAX_REDIRECTS: Final = 10
"""As in the kubelet."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of the app: `kind` is the Kubernetes action, `timeout` is in seconds."""

    kind: str
    port: int
    timeout: float
    path: str = "/"
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""


def read_probes(environment: Mapping[str, str]) -> Mapping[str, Probe]:
    """Return the probes by `<container>/<probe>`. Raises ConfigError."""
    try:
        probes = json.loads(environment.get(PROBES, "{}"))
        return {path: _probe(stored) for path, stored in probes.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConfigError([Problem(PROBES, 0, 0, "", "not what `enforcer inject` writes")]) from None


def _probe(stored: Mapping[str, Any]) -> Probe:
    port, timeout = int(stored["port"]), float(stored.get("timeoutSeconds") or _TIMEOUT)
    if "httpGet" in stored:
        action = stored["httpGet"]
        path = str(action.get("path") or "/")
        return Probe(
            "httpGet",
            port,
            timeout,
            path if path.startswith("/") else f"/{path}",
            str(action.get("scheme") or "HTTP").lower(),
            tuple((str(field["name"]), str(field["value"])) for field in action.get("httpHeaders") or ()),
        )
    if "grpc" in stored:
        return Probe("grpc", port, timeout, service=str(stored["grpc"].get("service") or ""))
    return Probe("tcpSocket", port, timeout if stored["tcpSocket"] is not None else _TIMEOUT)


async def succeeds(probe: Probe) -> bool:
    """Probe the app as the kubelet does, and return whether the probe succeeds."""
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
        else {"User-Agent": "kube-probe/enforcer", **dict(probe.headers)}
    )
    try:
        # Like the kubelet, this verifies no certificate: the connection stays within the pod.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=probe.timeout) as client:  # noqa: S501
            url = httpx.URL(f"{probe.scheme}://{_HOST}:{probe.port}{probe.path}")
            for _ in range(_MAX_REDIRECTS):
                async with client.stream("GET", url, headers=headers) as response:
                    redirected = response.next_request
                    if redirected is None or redirected.url.host != url.host:
                        # As in the kubelet, a redirect to another host is not followed and counts as success.
                        return 200 <= response.status_code < 400
                    url = redirected.url
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return False


def routes(environment: Mapping[str, str]) -> list[Route]:
    """Return the admin server's routes that relay to the app. Raises ConfigError."""
    probes = read_probes(environment)
    metrics = environment.get(APP_METRICS)

    async def probe(request: Request) -> Response:
        target = probes.get(f"{request.path_params['container']}/{request.path_params['probe']}")
        if target is None:
            return PlainTextResponse("no such probe\n", 404)
        return (
            PlainTextResponse("ok\n")
            if await succeeds(target)
            else PlainTextResponse("the app fails this probe\n", 503)
        )

    async def app_metrics(request: Request) -> Response:
        response = await _fetch(str(metrics), request.headers.get("accept", "*/*"))
        return response or PlainTextResponse("the app's metrics cannot be fetched\n", 502)

    relays = [Route("/probes/{container}/{probe}", probe)] if probes else []
    return [*relays, Route("/app-metrics", app_metrics)] if metrics else relays


async def _fetch(url: str, accept: str) -> Response | None:
    import httpx

    body = bytearray()
    try:
        async with (
            asyncio.timeout(_METRICS_TIMEOUT),
            httpx.AsyncClient(verify=False, trust_env=False) as client,  # noqa: S501
            client.stream("GET", url, headers={"Accept": accept}) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_METRICS:
                    return None
            content_type = response.headers.get("content-type", "text/plain")
            return Response(bytes(body), response.status_code, media_type=content_type)
    except (OSError, httpx.HTTPError, httpx.InvalidURL):
        return None
