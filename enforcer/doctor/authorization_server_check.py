"""Checks one authorization server: metadata, keys, our credentials with a made-up token, and our own access token."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, get_args
from urllib.parse import quote_plus

from enforcer.config import authorization_server
from enforcer.config.authorization_server import SecretClient, SecretMethod
from enforcer.doctor import diagnosis, response_checks
from enforcer.doctor.connection_probe import ConnectionProbe
from enforcer.doctor.diagnosis import Finding, ServerResponse, Verdict, is_right
from enforcer.errors import IntrospectionError
from enforcer.settings.addresses import parse_url
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection import client_credentials, metadata
from enforcer.tokens.introspection.client import JSON_TYPE, JWT_TYPE
from enforcer.tokens.introspection.client_authentication import Credentials
from enforcer.tokens.introspection.metadata import EndpointName

_SECRET_METHODS: Final[tuple[SecretMethod, ...]] = get_args(SecretMethod)
"""Ways to send a client secret. If the server refuses one, the other is tried."""


class _Endpoint(NamedTuple):
    """A URL, and the probe of its origin, which could be connected to."""

    probe: ConnectionProbe
    url: str


class AuthorizationServerCheck:
    """Checks one authorization server, once."""

    def __init__(self, server: AuthorizationServer) -> None:
        self._server = server
        self._endpoints = dict(authorization_server.endpoints(server))
        self._discovers = None in self._endpoints.values()
        self._probes: dict[tuple[bool, str], tuple[ConnectionProbe, list[Finding]]] = {}
        self._timed = False

    @property
    def url(self) -> str:
        """The URL to show for the server: its first configured endpoint, otherwise its issuer."""
        return next(url for url in (*self._endpoints.values(), self._server.issuer) if url is not None)

    async def findings(self) -> list[Finding]:
        """Check everything that the settings use, in the order in which one step needs another."""
        settings = self._server.own_token
        findings = await self._check_metadata() if self._discovers else []
        credentials: Credentials | None = None
        if settings is not None:
            own_token_findings, credentials = await self._check_own_token(settings)
            findings += own_token_findings
        if settings is None or credentials is not None:
            findings += await self._check_introspection(credentials)
        findings += await self._check_keys()
        if self._discovers or self._server.issuer is None:
            return findings
        return [*findings, *await self._check_metadata()]

    async def _check_metadata(self) -> list[Finding]:
        issuer = authorization_server.issuer(self._server)
        try:
            urls = metadata.well_known_urls(issuer)
        except ValueError:
            return [response_checks.no_metadata(f"{issuer} is not a URL", needed=self._discovers)]
        endpoint, connection = await self._connect(urls[0])
        if endpoint is None:
            last = self._probes[_origin(urls[0])][1][-1]
            missing = response_checks.no_metadata(f"{urls[0]}: {last.what}: {last.found}", needed=self._discovers)
            return [*connection, missing] if self._discovers else [missing]
        findings: list[Finding] = []
        for url in urls:
            response = await self._send(endpoint._replace(url=url), "GET")
            if isinstance(response, Finding) or response.status != 200:
                continue
            document, checked = response_checks.metadata(response, issuer, self._endpoints, self._client())
            if document is not None:
                findings = checked
                for name, configured in self._endpoints.items():
                    self._endpoints[name] = configured or document.endpoints.get(name)
                break
            findings = findings or checked
        missing = response_checks.no_metadata(f"none at {', '.join(urls)}", needed=self._discovers)
        return [*(connection if self._discovers else ()), *(findings or [missing])]

    def _client(self) -> response_checks.Client | None:
        if self._server.verify == "jwt":
            return None
        endpoint: EndpointName = "introspection_endpoint" if self._server.own_token is None else "token_endpoint"
        return endpoint, self._server.client_authentication

    async def _check_own_token(self, settings: OwnTokenSettings) -> tuple[list[Finding], Credentials | None]:
        endpoint, findings = await self._connect(self._endpoints["token_endpoint"])
        if endpoint is None:
            return findings, None
        scope = f"&scope={quote_plus(' '.join(settings.scopes))}" if settings.scopes else ""
        form = f"grant_type=client_credentials{scope}".encode()
        response, accepted = await self._authenticate(
            endpoint, form, "token_endpoint", lambda response: response.status == 200
        )
        if isinstance(response, Finding):
            return [*findings, response], None
        method = self._server.client_authentication
        issued = response_checks.own_token(response, method, accepted, settings.lifetime)
        findings += [issued, *self._check_times(response)]
        if issued.verdict is Verdict.WRONG:
            return findings, None
        return findings, client_credentials.parse(response.body, settings.lifetime).credentials

    async def _check_introspection(self, own: Credentials | None) -> list[Finding]:
        endpoint, findings = await self._connect(self._endpoints.get("introspection_endpoint"))
        if endpoint is None:
            return findings
        # A made-up token, in the same form as sent by `tokens.introspection`
        form = f"token={secrets.token_urlsafe(32)}&token_type_hint=access_token".encode()
        response: ServerResponse | Finding
        accepted: SecretMethod | None = None
        if own is not None:
            response = await self._post(endpoint, form, own)
        else:
            response, accepted = await self._authenticate(
                endpoint, form, "introspection_endpoint", response_checks.is_acceptance
            )
        if isinstance(response, ServerResponse) and response.status == 200 and self._server.signed_answers:
            response = await self._verify_signature(response)
        if isinstance(response, Finding):
            return [*findings, response]
        method: response_checks.Method = self._server.client_authentication if own is None else "own_token"
        return [*findings, response_checks.credentials(response, method, accepted), *self._check_times(response)]

    async def _verify_signature(self, response: ServerResponse) -> ServerResponse | Finding:
        """Return a signed introspection response (RFC 9701) as an unsigned one, or a finding if it is not valid."""
        from enforcer.tokens.introspection import jwt_introspection
        from enforcer.tokens.jwt import jwks, jwt

        endpoint, _ = await self._connect(self._endpoints["jwks_uri"])
        keys = None if endpoint is None else await self._send(endpoint, "GET")
        if not isinstance(keys, ServerResponse):
            return response_checks.no_signed_response("the server's keys cannot be fetched")
        try:
            result = jwt_introspection.verify(
                response.body,
                jwks.parse(keys.body),
                authorization_server.expected_response(self._server),
                response.received,
            )
        except IntrospectionError as error:
            return response_checks.no_signed_response(error.detail)
        if isinstance(result, jwt.NeedsKey):
            return response_checks.no_signed_response(jwt_introspection.error_of(result).detail)
        return replace(response, body=json.dumps({"active": isinstance(result, ActiveToken)}).encode())

    async def _check_keys(self) -> list[Finding]:
        endpoint, findings = await self._connect(self._endpoints.get("jwks_uri"))
        if endpoint is None:
            return findings
        response = await self._send(endpoint, "GET")
        if isinstance(response, Finding):
            return [*findings, response]
        keys = response_checks.keys(response, self._server.jwt.algorithms)
        return [*findings, keys, *self._check_times(response)]

    def _check_times(self, response: ServerResponse) -> list[Finding]:
        """Check clock and response time, only for the first response of a server."""
        if self._timed:
            return []
        self._timed = True
        return [
            diagnosis.clock(response.fields.get("date"), response.sent, response.received),
            diagnosis.answer_time(response.received - response.sent, self._server.timeout),
        ]

    async def _connect(self, url: str | None) -> tuple[_Endpoint | None, list[Finding]]:
        """Probe the connection to a URL, once per origin.

        Returns the endpoint, None if a step failed or the URL is not known, and the findings not returned before.
        """
        if url is None:
            return None, []
        origin = _origin(url)
        unseen: list[Finding] = []
        if origin not in self._probes:
            probe = ConnectionProbe(parse_url(url), self._server.tls, self._server.pool.connect_timeout)
            unseen = await probe.connect()
            self._probes[origin] = probe, unseen
        probe, findings = self._probes[origin]
        return _Endpoint(probe, url) if is_right(findings) else None, [*unseen]

    async def _authenticate(
        self, endpoint: _Endpoint, form: bytes, name: EndpointName, accepts: Callable[[ServerResponse], bool]
    ) -> tuple[ServerResponse | Finding, SecretMethod | None]:
        """Post a form with our credentials. Returns the response.

        If the server refuses the client secret, it is sent in the other way too; that way is returned if it works.
        """
        server = self._server
        authentication = authorization_server.authenticator(server, name, time.time)
        response = await self._post(endpoint, form, authentication.credentials())
        client = authorization_server.client(server)
        if (
            isinstance(response, ServerResponse)
            and response_checks.is_refusal(response)
            and isinstance(client, SecretClient)
        ):
            (other,) = (method for method in _SECRET_METHODS if method != client.method)
            server = replace(server, client_authentication=other)
            authentication = authorization_server.authenticator(server, name, time.time)
            retried = await self._post(endpoint, form, authentication.credentials())
            if isinstance(retried, ServerResponse) and accepts(retried):
                return response, other
        return response, None

    async def _post(self, endpoint: _Endpoint, form: bytes, credentials: Credentials) -> ServerResponse | Finding:
        headers = {
            "Accept": JWT_TYPE if self._server.signed_answers else JSON_TYPE,
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for line in credentials.lines.decode().splitlines():
            name, _, value = line.partition(": ")
            headers[name] = value
        return await self._send(endpoint, "POST", headers=headers, content=form + credentials.form)

    async def _send(self, endpoint: _Endpoint, method: str, **content: Any) -> ServerResponse | Finding:
        server, (probe, url) = self._server, endpoint
        async with probe.client() as client:
            return await probe.send(client, method, url, within=server.timeout, max_body=server.max_answer, **content)


def _origin(url: str) -> tuple[bool, str]:
    location = parse_url(url)
    return location.secure, location.authority
