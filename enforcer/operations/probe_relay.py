"""Relays the kubelet's probes and the app's metrics to an app that only the enforcer can reach.

In a pod whose app listens on loopback, the kubelet probes the admin server, which probes the app as the kubelet would.
Ports and paths come from the environment, as written by `enforcer inject`: clients of the admin server choose neither.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from enforcer.clients import client_key
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
"""Bytes of the app's metrics, compressed or not. Bounds the time of a scrape: they are relayed as they arrive."""
_RECEIVE_BUFFER: Final = 65_536
"""Bytes of the app's metrics that wait in the kernel."""
_SCRAPES: Final = 4
_CLIENT_SCRAPES: Final = 2
"""Scrapes of the app at once, and those of one client: of a pair of Prometheus servers, for example."""
_ACCEPTED: Final = {"accept": "*/*", "accept-encoding": "identity"}
"""Fields of the scraper's request that the app gets, with their defaults."""
_RELAYED: Final = ("content-type", "content-encoding")
"""Fields of the app's response that the scraper gets."""
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


class Relay:
    """The admin server's `routes` that relay to the app, and the longest `timeout` of a probe, in seconds.

    Raises ConfigError.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._probes = read_probes(environment)
        self.timeout = max((probe.timeout for probe in self._probes.values()), default=0.0)
        self.routes = [Route("/probes/{container}/{probe}", self._probe)] if self._probes else []
        if metrics := environment.get(APP_METRICS):
            self.routes.append(Route("/app-metrics", AppMetrics(metrics), methods=["GET"]))
        if self.routes:
            importlib.import_module("httpx")  # now, because it takes long, and no request should wait for it

    async def _probe(self, request: Request) -> Response:
        probe = self._probes.get(f"{request.path_params['container']}/{request.path_params['probe']}")
        if probe is None:
            return PlainTextResponse("no such probe\n", 404)
        if await succeeds(probe):
            return PlainTextResponse("ok\n")
        return PlainTextResponse("the app fails this probe\n", 503)


class AppMetrics:
    """An ASGI application that relays the app's metrics as they arrive, for a few clients at once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._scrapes: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        client = client_key(request.client.host if request.client is not None else "")
        if self._scrapes[client] >= _CLIENT_SCRAPES or self._scrapes.total() >= _SCRAPES:
            refusal = PlainTextResponse("too many scrapes at once\n", 503, {"Retry-After": "1"})
            await refusal(scope, receive, send)
            return
        self._scrapes[client] += 1
        try:
            if not await self._relay(request, send):
                await PlainTextResponse("the app's metrics cannot be fetched\n", 502)(scope, receive, send)
        finally:
            self._scrapes -= Counter({client: 1})

    async def _relay(self, request: Request, send: Send) -> bool:
        """Relay the metrics, and return whether the response has begun. If they are cut short, it is never ended."""
        import httpx

        # uvloop reads as much as there is in one turn of the event loop, up to 8 MiB.
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)]
        transport = httpx.AsyncHTTPTransport(verify=False, socket_options=options)
        accepted = {name: request.headers.get(name, default) for name, default in _ACCEPTED.items()}
        started, size = False, 0
        try:
            async with (
                asyncio.timeout(_METRICS_TIMEOUT),
                httpx.AsyncClient(transport=transport, trust_env=False) as client,
                client.stream("GET", self._url, headers=accepted) as response,
            ):
                fields = [(name, response.headers[name]) for name in _RELAYED if name in response.headers]
                head = [(name.encode(), value.encode("latin-1")) for name, value in fields]
                await send({"type": "http.response.start", "status": response.status_code, "headers": head})
                started = True
                async for chunk in response.aiter_raw():  # still compressed: its size is bounded
                    size += len(chunk)
                    if size > _MAX_METRICS:
                        return True
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (OSError, httpx.HTTPError, httpx.InvalidURL):
            pass
        return started
