"""A visit to one authorization server: what it says of itself and of a token that nobody issued, its keys, its token
for us."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, get_args
from urllib.parse import quote_plus

from enforcer.config import authorization_server
from enforcer.config.authorization_server import SecretClient, SecretMethod
from enforcer.doctor import diagnosis, response_checks
from enforcer.doctor.connection_probe import ConnectionProbe
from enforcer.doctor.diagnosis import Finding, Seen, is_right
from enforcer.errors import IntrospectionError
from enforcer.settings.addresses import parse_url
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.tokens.introspection import client_credentials, metadata
from enforcer.tokens.introspection.client import PLAIN, SIGNED
from enforcer.tokens.introspection.client_authentication import Credentials
from enforcer.tokens.introspection.metadata import EndpointName, Metadata
from enforcer.tokens.introspection.response import Active

_SECRET_METHODS: Final[tuple[SecretMethod, ...]] = get_args(SecretMethod)
"""The ways to show a secret; when one is refused, the other is tried."""


class AuthorizationServerCheck:
    """Makes one visit."""

    def __init__(self, server: AuthorizationServer) -> None:
        self._server = server
        self._endpoints = dict(authorization_server.endpoints(server))
        self._discovers = None in self._endpoints.values()
        self._ways: dict[tuple[bool, str], tuple[ConnectionProbe, list[Finding]]] = {}
        self._timed = False

    @property
    def url(self) -> str:
        """The URL that the server is known by: of its first endpoint, else its issuer."""
        return next(url for url in (*self._endpoints.values(), self._server.issuer) if url is not None)

    async def findings(self) -> list[Finding]:
        """Look at all that the settings use, in the order in which one thing needs another."""
        settings = self._server.own_token
        found = await self._metadata() if self._discovers else []
        credentials: Credentials | None = None
        if settings is not None:
            more, credentials = await self._own_token(settings)
            found += more
        if settings is None or credentials is not None:
            found += await self._introspection(credentials)
        found += await self._keys()
        return found if self._discovers or self._server.issuer is None else [*found, *await self._metadata()]

    async def _metadata(self) -> list[Finding]:
        issuer = authorization_server.issuer(self._server)
        try:
            urls = metadata.well_known_urls(issuer)
        except ValueError:
            return [response_checks.no_metadata(f"{issuer} is no URL", needed=self._discovers)]
        way, shown = await self._reach(urls[0])
        if way is None:
            last = self._ways[_origin(urls[0])][1][-1]
            found = response_checks.no_metadata(f"{urls[0]}: {last.what}: {last.found}", needed=self._discovers)
            return [*shown, found] if self._discovers else [found]
        judged: list[Finding] = []
        for url in urls:
            seen = await self._get(way, url)
            if isinstance(seen, Finding) or seen.status != 200:
                continue
            told = self._told(seen, issuer)
            if told is None and judged:
                continue
            judged = response_checks.metadata(seen, issuer, self._endpoints, self._client())
            if told is not None:
                for name, configured in self._endpoints.items():
                    self._endpoints[name] = configured or told.endpoints.get(name)
                break
        missing = response_checks.no_metadata(f"none at {', '.join(urls)}", needed=self._discovers)
        return [*(shown if self._discovers else ()), *(judged or [missing])]

    def _told(self, seen: Seen, issuer: str) -> Metadata | None:
        mutual_tls = self._server.client_authentication == "tls_client_auth"
        try:
            return metadata.parse(seen.body, issuer, mutual_tls=mutual_tls)
        except IntrospectionError:
            return None

    def _client(self) -> response_checks.Client | None:
        if self._server.verify == "jwt":
            return None
        where: EndpointName = "introspection_endpoint" if self._server.own_token is None else "token_endpoint"
        return where, self._server.client_authentication

    async def _own_token(self, settings: OwnTokenSettings) -> tuple[list[Finding], Credentials | None]:
        url = self._endpoints["token_endpoint"]
        way, found = (None, []) if url is None else await self._reach(url)
        if way is None or url is None:
            return found, None
        scope = f"&scope={quote_plus(' '.join(settings.scopes))}" if settings.scopes else ""
        form = f"grant_type=client_credentials{scope}".encode()
        seen, accepted = await self._authenticated(way, url, form, "token_endpoint", lambda seen: seen.status == 200)
        if isinstance(seen, Finding):
            return [*found, seen], None
        method = self._server.client_authentication
        found += [response_checks.own_token(seen, method, accepted, settings.lifetime), *self._times(seen)]
        try:
            return found, client_credentials.parse(
                seen.body, settings.lifetime
            ).credentials if seen.status == 200 else None
        except IntrospectionError:
            return found, None

    async def _introspection(self, own: Credentials | None) -> list[Finding]:
        url = self._endpoints.get("introspection_endpoint")
        way, found = (None, []) if url is None else await self._reach(url)
        if way is None or url is None:
            return found
        # A token that nobody issued, in the words of `tokens.introspection`
        form = f"token={secrets.token_urlsafe(32)}&token_type_hint=access_token".encode()
        seen: Seen | Finding
        accepted: SecretMethod | None = None
        if own is not None:
            seen = await self._post(way, url, form, own)
        else:
            seen, accepted = await self._authenticated(
                way, url, form, "introspection_endpoint", response_checks.is_acceptance
            )
        if isinstance(seen, Seen) and seen.status == 200 and self._server.signed_answers:
            seen = await self._verified(seen)
        if isinstance(seen, Finding):
            return [*found, seen]
        method: response_checks.Method = self._server.client_authentication if own is None else "own_token"
        return [*found, response_checks.credentials(seen, method, accepted), *self._times(seen)]

    async def _verified(self, seen: Seen) -> Seen | Finding:
        """Return a signed answer (RFC 9701) as one that is not, or what is wrong with it."""
        from enforcer.tokens.introspection import jwt_introspection
        from enforcer.tokens.jwt import jwks, jwt

        url = self._endpoints["jwks_uri"]
        way, _ = (None, []) if url is None else await self._reach(url)
        keys = None if way is None or url is None else await self._get(way, url)
        if not isinstance(keys, Seen):
            return response_checks.no_signed_answer("its keys cannot be had")
        try:
            told = jwt_introspection.verify(
                seen.body, jwks.parse(keys.body), authorization_server.expected_response(self._server), seen.received
            )
        except IntrospectionError as error:
            return response_checks.no_signed_answer(error.detail)
        if told is jwt.NEEDS_KEY:
            return response_checks.no_signed_answer("it is signed by none of its keys")
        return replace(seen, body=json.dumps({"active": isinstance(told, Active)}).encode())

    async def _keys(self) -> list[Finding]:
        url = self._endpoints.get("jwks_uri")
        way, found = (None, []) if url is None else await self._reach(url)
        if way is None or url is None:
            return found
        seen = await self._get(way, url)
        if isinstance(seen, Finding):
            return [*found, seen]
        return [*found, response_checks.keys(seen, self._server.jwt.algorithms), *self._times(seen)]

    def _times(self, seen: Seen) -> list[Finding]:
        """Judge clock and speed by an answer, once for a server."""
        if self._timed:
            return []
        self._timed = True
        return [
            diagnosis.clock(seen.fields.get("date"), seen.sent, seen.received),
            diagnosis.answer_time(seen.received - seen.sent, self._server.timeout),
        ]

    async def _reach(self, url: str) -> tuple[ConnectionProbe | None, list[Finding]]:
        """Find the way to a URL, once for all of a server; returns it, if there is one, and what is new to tell."""
        origin = _origin(url)
        shown: list[Finding] = []
        if origin not in self._ways:
            way = ConnectionProbe(parse_url(url), self._server.tls, self._server.pool.connect_timeout)
            shown = await way.reach()
            self._ways[origin] = way, shown
        way, found = self._ways[origin]
        return way if is_right(found) else None, [*shown]

    async def _authenticated(
        self, way: ConnectionProbe, url: str, form: bytes, where: EndpointName, accepts: Callable[[Seen], bool]
    ) -> tuple[Seen | Finding, SecretMethod | None]:
        """Post a form with our credentials; returns the answer, and another way to show the secret that is accepted."""
        server = self._server
        seen = await self._post(
            way, url, form, authorization_server.authenticator(server, where, time.time).credentials()
        )
        client = authorization_server.client(server)
        if isinstance(seen, Seen) and response_checks.is_refusal(seen) and isinstance(client, SecretClient):
            (other,) = (method for method in _SECRET_METHODS if method != client.method)
            shown = authorization_server.authenticator(replace(server, client_authentication=other), where, time.time)
            again = await self._post(way, url, form, shown.credentials())
            if isinstance(again, Seen) and accepts(again):
                return seen, other
        return seen, None

    async def _post(self, way: ConnectionProbe, url: str, form: bytes, credentials: Credentials) -> Seen | Finding:
        headers = {
            "Accept": SIGNED if self._server.signed_answers else PLAIN,
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for line in credentials.lines.decode().splitlines():
            name, _, value = line.partition(": ")
            headers[name] = value
        server = self._server
        async with way.client() as client:
            return await way.ask(
                client,
                "POST",
                url,
                patience=server.timeout,
                most=server.max_answer,
                headers=headers,
                content=form + credentials.form,
            )

    async def _get(self, way: ConnectionProbe, url: str) -> Seen | Finding:
        async with way.client() as client:
            return await way.ask(client, "GET", url, patience=self._server.timeout, most=self._server.max_answer)


def _origin(url: str) -> tuple[bool, str]:
    location = parse_url(url)
    return location.secure, location.authority
