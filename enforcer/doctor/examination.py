"""Tries the configured authorization servers and upstreams as the enforcer would, from this machine.

1. Each step needs the previous one: the first failed step ends the examination of its server.
2. Our credentials are sent only to endpoints that are configured or named by the issuer's metadata, together with a
   made-up token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from enforcer.config.model import Config
from enforcer.config.resolved import upstreams
from enforcer.config.validate.warnings import own_settings
from enforcer.doctor import connection_probe, diagnosis
from enforcer.doctor.authorization_server_check import AuthorizationServerCheck
from enforcer.doctor.connection_probe import UNEXPECTED_TLS, ConnectionProbe
from enforcer.doctor.diagnosis import Finding, is_right, wrong
from enforcer.doctor.recorder import outcome_of
from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.server.requests import make_endpoint
from enforcer.settings.connections.addresses import Location, parse_server
from enforcer.settings.connections.servers import Upstream
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.wire.carrier import STREAM_RESET
from enforcer.wire.http_client import RESPONSE_TOO_LARGE, HttpClient, HttpResponse
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

_TIMEOUT: Final = 10.0
"""Seconds for the upstream's response: less than when serving, because an operator waits at a terminal."""
_MAX_BODY: Final = 64 * 1024
"""Bytes of the upstream's response that are read. Bounds memory."""


@dataclass(frozen=True, slots=True)
class Report:
    """The findings for one server. The names are keys of `--json`."""

    server: str
    url: str
    findings: tuple[Finding, ...]

    @property
    def right(self) -> bool:
        """True if no check failed."""
        return is_right(self.findings)


async def examine(config: Config) -> list[Report]:
    """Examine the servers in the order of the configuration, upstreams last; in sequence, so that times are right."""
    reports = []
    for server in config.authorization_servers:
        check = AuthorizationServerCheck(server)
        findings = await check.findings()
        reports.append(Report(f"authorization server {server.name}", check.url, tuple(findings)))
    return reports + [await _upstream(config, name, upstream) for name, upstream in upstreams(config).items()]


async def _upstream(config: Config, name: str | None, upstream: Upstream) -> Report:
    location = parse_server(upstream.url)
    probe = ConnectionProbe(location, upstream.tls, upstream.pool.connect_timeout)
    findings = await probe.connect()
    if is_right(findings):
        setting = _own_setting(config, location, probe.address)
        findings.append(await _get(probe, location, upstream) if setting is None else diagnosis.own_address(setting))
    return Report("upstream" if name is None else f"upstream {name}", upstream.url, tuple(findings))


async def _get(probe: ConnectionProbe, location: Location, upstream: Upstream) -> Finding:
    """Send GET / on a connection such as requests are forwarded on."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    endpoint = make_endpoint(location, upstream.tls, protocol=upstream.protocol)
    pool = Pool(endpoint, upstream.pool, ticker, loop, http2=upstream.http2)
    client = HttpClient(pool, timeout=_TIMEOUT, max_body=_MAX_BODY)
    try:
        result = await outcome_of(KnownEndpoint(client, location.authority, "/").get)
    finally:
        pool.abort()
        ticker.stop()
    if isinstance(result, HttpResponse):
        unexpected_tls = result.status == 400 and await probe.has_unexpected_tls()
        return UNEXPECTED_TLS if unexpected_tls else diagnosis.app(result.status)
    if isinstance(result, UpstreamError):
        if result.detail == RESPONSE_TOO_LARGE:
            return diagnosis.large_page()
        return await _on_protocol(probe, location, upstream, result) or await probe.explain(result, _TIMEOUT)
    return wrong("HTTP", result.detail, "correct url")


async def _on_protocol(
    probe: ConnectionProbe, location: Location, upstream: Upstream, error: UpstreamError
) -> Finding | None:
    """Return the finding if the failure comes from the protocol that is configured."""
    if upstream.protocol == "http1":
        return diagnosis.only_http2(location.secure) if await probe.speaks_http2() else None
    if error.reason is UpstreamFailure.MALFORMED and not error.connected:
        return diagnosis.no_http2(error.detail)
    return diagnosis.resets() if error.detail.startswith(STREAM_RESET) else None


def _own_setting(config: Config, location: Location, address: str | None) -> str | None:
    """Return the setting whose address the upstream has, if it is the enforcer itself; `address` is its host's."""
    if address is None:
        return None
    this_machine = connection_probe.is_this_machine(address)
    return next(iter(own_settings(config, location._replace(host=address), this_machine=this_machine)), None)
