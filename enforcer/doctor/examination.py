"""Tries the configured authorization servers and upstreams as the enforcer would, from this machine.

1. Each step needs the previous one: the first failed step ends the examination of its server.
2. Our credentials are sent only to endpoints that are configured or named by the issuer's metadata, together with a
   made-up token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from enforcer.config.model import Config
from enforcer.config.resolved import upstreams
from enforcer.doctor import diagnosis
from enforcer.doctor.authorization_server_check import AuthorizationServerCheck
from enforcer.doctor.connection_probe import ConnectionProbe
from enforcer.doctor.diagnosis import Finding, is_right
from enforcer.settings.addresses import parse_server
from enforcer.settings.servers import Upstream

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
    return reports + [await _upstream(name, upstream) for name, upstream in upstreams(config).items()]


async def _upstream(name: str | None, upstream: Upstream) -> Report:
    location = parse_server(upstream.url)
    probe = ConnectionProbe(location, upstream.tls, upstream.pool.connect_timeout)
    findings = await probe.connect()
    if is_right(findings):
        root = f"{'https' if location.secure else 'http'}://{location.authority}/"
        async with probe.client() as client:
            response = await probe.send(client, "GET", root, within=_TIMEOUT, max_body=_MAX_BODY)
        findings.append(response if isinstance(response, Finding) else diagnosis.app(response))
    return Report("upstream" if name is None else f"upstream {name}", upstream.url, tuple(findings))
