"""Tries the configured authorization servers and upstreams as the enforcer would, from here and now.

1. Each step needs the one before it: the first that is wrong ends the way to its server.
2. Our credentials go to the configured endpoint alone, and with them a token that nobody issued.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from enforcer.config.addresses import parse_server, parse_url
from enforcer.config.effective import upstreams
from enforcer.config.model import AuthorizationServer, Config, Upstream
from enforcer.operations import diagnosis
from enforcer.operations.diagnosis import Finding, Seen, is_right
from enforcer.operations.reach import Way
from enforcer.secret import Secret
from enforcer.tokens.client_authentication import (
    ClientAuthentication,
    Credentials,
    Fixed,
    secret_basic,
    secret_post,
)
from enforcer.tokens.metadata import well_known_urls

_PATIENCE: Final = 10.0
"""Seconds that the upstream may take to answer: less than in service, since somebody waits at a terminal."""
_MOST: Final = 64 * 1024
"""Bytes that are read of an answer that no setting bounds."""
_WAYS: Final[Mapping[ClientAuthentication, Callable[[str, Secret], Fixed]]] = {
    "client_secret_basic": secret_basic,
    "client_secret_post": secret_post,
}
"""The ways to show a secret; when one is refused, the other is tried."""


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
    reports = [await _authorization_server(server) for server in config.authorization_servers]
    return reports + [await _upstream(name, upstream) for name, upstream in upstreams(config).items()]


async def _authorization_server(server: AuthorizationServer) -> Report:
    url = server.introspection_endpoint
    way = Way(parse_url(url), server.tls, server.pool.connect_timeout)
    findings = await way.reach()
    if is_right(findings):
        async with way.client() as client:
            findings += await _introspect(way, client, server)
    if server.issuer is not None:
        findings += await _metadata(server, server.issuer)
    return Report(f"authorization server {server.name}", url, tuple(findings))


async def _introspect(way: Way, client: httpx.AsyncClient, server: AuthorizationServer) -> list[Finding]:
    async def ask(method: ClientAuthentication) -> Seen | Finding:
        credentials = _WAYS[method](server.client_id, server.client_secret).credentials()
        return await way.ask(
            client,
            "POST",
            server.introspection_endpoint,
            patience=server.timeout,
            most=server.max_answer,
            **_question(credentials),
        )

    method = server.client_authentication
    seen = await ask(method)
    if isinstance(seen, Finding):
        return [seen]
    accepted = None
    if diagnosis.is_refusal(seen):
        for other in _WAYS.keys() - {method}:
            answer = await ask(other)
            if isinstance(answer, Seen) and diagnosis.is_acceptance(answer):
                accepted = other
    return [
        diagnosis.credentials(seen, method, accepted),
        diagnosis.clock(seen.fields.get("date"), seen.sent, seen.received),
        diagnosis.answer_time(seen.received - seen.sent, server.timeout),
    ]


def _question(credentials: Credentials) -> dict[str, Any]:
    """Ask about a token that nobody issued, in the words of `tokens.introspection`."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    for line in credentials.lines.decode().splitlines():
        name, _, value = line.partition(": ")
        headers[name] = value
    body = f"token={secrets.token_urlsafe(32)}&token_type_hint=access_token".encode() + credentials.form
    return {"headers": headers, "content": body}


async def _metadata(server: AuthorizationServer, issuer: str) -> list[Finding]:
    try:
        urls = well_known_urls(issuer)
    except ValueError:
        return [diagnosis.no_metadata(f"{issuer} is no URL")]
    location = parse_url(urls[0])
    way = Way(location, server.tls if location.secure else None, server.pool.connect_timeout)
    reached = await way.reach()
    if not is_right(reached):
        return [diagnosis.no_metadata(f"{urls[0]}: {reached[-1].what}: {reached[-1].found}")]
    async with way.client() as client:
        for url in urls:
            seen = await way.ask(client, "GET", url, patience=server.timeout, most=server.max_answer)
            if isinstance(seen, Seen) and seen.status == 200:
                return diagnosis.metadata(seen, issuer, server.introspection_endpoint, server.client_authentication)
    return [diagnosis.no_metadata(f"none at {', '.join(urls)}")]


async def _upstream(name: str | None, upstream: Upstream) -> Report:
    location = parse_server(upstream.url)
    way = Way(location, upstream.tls, upstream.pool.connect_timeout)
    findings = await way.reach()
    if is_right(findings):
        root = f"{'https' if location.secure else 'http'}://{location.authority}/"
        async with way.client() as client:
            seen = await way.ask(client, "GET", root, patience=_PATIENCE, most=_MOST)
        findings.append(seen if isinstance(seen, Finding) else diagnosis.app(seen))
    return Report("upstream" if name is None else f"upstream {name}", upstream.url, tuple(findings))
