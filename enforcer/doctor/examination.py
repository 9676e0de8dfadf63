"""Tries the configured authorization servers and upstreams as the enforcer would, from here and now.

1. Each step needs the one before it: the first that is wrong ends the way to its server.
2. Our credentials go to the endpoints that are configured, or that the issuer's metadata names, and nowhere else; and
   with them goes a token that nobody issued.
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

_PATIENCE: Final = 10.0
"""Seconds that the upstream may take to answer: less than in service, since somebody waits at a terminal."""
_MOST: Final = 64 * 1024
"""Bytes that are read of an answer that no setting bounds."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found at one server."""

    server: str
    url: str
    findings: tuple[Finding, ...]

    @property
    def right(self) -> bool:
        """Whether nothing is wrong; a warning is not."""
        return is_right(self.findings)


async def examine(config: Config) -> list[Report]:
    """Try the servers in the order of the configuration, upstreams last: one after the other, to time them well."""
    reports = []
    for server in config.authorization_servers:
        visit = AuthorizationServerCheck(server)
        findings = await visit.findings()
        reports.append(Report(f"authorization server {server.name}", visit.url, tuple(findings)))
    return reports + [await _upstream(name, upstream) for name, upstream in upstreams(config).items()]


async def _upstream(name: str | None, upstream: Upstream) -> Report:
    location = parse_server(upstream.url)
    way = ConnectionProbe(location, upstream.tls, upstream.pool.connect_timeout)
    findings = await way.reach()
    if is_right(findings):
        root = f"{'https' if location.secure else 'http'}://{location.authority}/"
        async with way.client() as client:
            seen = await way.ask(client, "GET", root, patience=_PATIENCE, most=_MOST)
        findings.append(seen if isinstance(seen, Finding) else diagnosis.app(seen))
    return Report("upstream" if name is None else f"upstream {name}", upstream.url, tuple(findings))
