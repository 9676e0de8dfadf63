"""Checks one authorization server: metadata, keys, our credentials with a made-up token, and our own access token.

Everything is sent and read by the code that serves (`server.requests`). Its outcome decides whether a check passes, and
the response, which is recorded, says what to change.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from enforcer.clients import OWN
from enforcer.config import authorization_server
from enforcer.config.authorization_server import SecretClient, SecretMethod
from enforcer.doctor import diagnosis, response_checks
from enforcer.doctor.connection_probe import UNEXPECTED_TLS, ConnectionProbe
from enforcer.doctor.diagnosis import Finding, ServerResponse, is_right, wrong
from enforcer.doctor.recorder import Recorder, outcome_of
from enforcer.errors import IntrospectionError, UpstreamError, UpstreamFailure
from enforcer.server.requests import RequestBuilder
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.connections.addresses import parse_url
from enforcer.tokens.documents.remote_document import DocumentFetcher
from enforcer.tokens.introspection.client_authentication import Credentials, StaticCredentials
from enforcer.tokens.introspection.client_credentials import OwnAccessToken
from enforcer.tokens.introspection.introspector import IntrospectionResult, Introspector
from enforcer.tokens.introspection.metadata import EndpointName, Metadata, well_known_urls
from enforcer.tokens.introspection.response import IntrospectionOutcome
from enforcer.wire.callback import Callback
from enforcer.wire.http_client import RESPONSE_TOO_LARGE
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    from enforcer.tokens.jwt.jwks import KeySet, KeySource

T = TypeVar("T")

_SECRET_METHODS: Final[tuple[SecretMethod, ...]] = get_args(SecretMethod)
"""Ways to send a client secret. If the server refuses one, the other is tried."""


@dataclass(frozen=True, slots=True, eq=False)
class _FetchedKeys:
    """A `KeySource` that fetches no others."""

    current: KeySet | None

    def refresh(self, callback: Callback[KeySet | IntrospectionError]) -> KeySet | IntrospectionError | None:
        return self.current

    def close(self) -> None:
        pass


class AuthorizationServerCheck:
    """Checks one authorization server, once."""

    def __init__(self, server: AuthorizationServer) -> None:
        self._server = server
        self._endpoints = dict(authorization_server.endpoints(server))
        self._discovers = None in self._endpoints.values()
        self._probes: dict[tuple[bool, str], tuple[ConnectionProbe, list[Finding]]] = {}
        self._recorder = Recorder()
        self._requests: RequestBuilder
        self._keys: tuple[KeySet | IntrospectionError, ServerResponse | Finding] | None = None
        self._timed = False

    @property
    def url(self) -> str:
        """The URL to show for the server: its first configured endpoint, otherwise its issuer."""
        return next(url for url in (*self._endpoints.values(), self._server.issuer) if url is not None)

    async def findings(self) -> list[Finding]:
        """Check everything that the settings use, in the order in which one step needs another."""
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        self._requests = RequestBuilder(self._server, ticker, loop, observe=self._recorder.observe)
        try:
            return await self._check_all()
        finally:
            self._recorder.close()
            ticker.stop()

    async def _check_all(self) -> list[Finding]:
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

    # Metadata

    async def _check_metadata(self) -> list[Finding]:
        issuer = authorization_server.issuer(self._server)
        try:
            urls = well_known_urls(issuer)
        except ValueError:
            return [response_checks.no_metadata(f"{issuer} is not a URL", needed=self._discovers)]
        probe, connection = await self._connect(urls[0])
        if probe is None:
            last = self._probes[_origin(urls[0])][1][-1]
            missing = response_checks.no_metadata(f"{urls[0]}: {last.what}: {last.found}", needed=self._discovers)
            return [*connection, missing] if self._discovers else [missing]
        before = len(self._recorder.results)
        outcome = await outcome_of(self._requests.metadata().fetch)
        results = self._recorder.results[before:]
        if isinstance(outcome, Metadata) and isinstance(results[-1], ServerResponse):
            findings = response_checks.metadata(outcome, results[-1], self._endpoints, self._client())
            for name, configured in self._endpoints.items():
                self._endpoints[name] = configured or outcome.endpoints.get(name)
        else:
            findings = [await self._missing_metadata(probe, outcome, results, urls)]
        return [*(connection if self._discovers else ()), *findings]

    async def _missing_metadata(
        self, probe: ConnectionProbe, outcome: object, results: Sequence[object], urls: Sequence[str]
    ) -> Finding:
        responses = [result for result in results if isinstance(result, ServerResponse)]
        for response in responses:
            if response.status == 200 and isinstance(outcome, IntrospectionError):
                return response_checks.wrong_metadata(outcome, response, authorization_server.issuer(self._server))
        details = f"none at {', '.join(urls)}"
        last = results[-1]
        if isinstance(last, UpstreamError):
            details = f"{urls[len(results) - 1]}: {(await probe.explain(last, self._server.timeout)).found}"
        elif isinstance(last, ServerResponse) and last.status != 404:
            details = f"{last.url}: the server responds with {last.status}"
        return response_checks.no_metadata(details, needed=self._discovers)

    def _client(self) -> response_checks.Client | None:
        if self._server.verify == "jwt":
            return None
        endpoint: EndpointName = "introspection_endpoint" if self._server.own_token is None else "token_endpoint"
        return endpoint, self._server.client_authentication

    # Credentials

    async def _check_own_token(self, settings: OwnTokenSettings) -> tuple[list[Finding], Credentials | None]:
        url = self._endpoints["token_endpoint"]
        probe, findings = await self._connect(url)
        if probe is None or url is None:
            return findings, None

        async def request(requests: RequestBuilder) -> OwnAccessToken | IntrospectionError:
            endpoint = requests.endpoint("token_endpoint", url)
            return await outcome_of(requests.token_request(endpoint, settings).fetch)

        outcome, response, accepted = await self._authenticate(probe, request, "own token", "own_token.token_endpoint")
        if isinstance(response, Finding):
            return [*findings, response], None
        method = self._server.client_authentication
        findings += [response_checks.own_token(outcome, response, method, accepted), *self._check_times(response)]
        return findings, outcome.credentials if isinstance(outcome, OwnAccessToken) else None

    async def _check_introspection(self, own: Credentials | None) -> list[Finding]:
        url = self._endpoints.get("introspection_endpoint")
        probe, findings = await self._connect(url)
        if probe is None or url is None:
            return findings
        keys: KeySet | None = None
        if self._server.signed_answers:
            fetched, connection = await self._fetch_keys()
            findings += connection
            if fetched is None or isinstance(fetched[0], IntrospectionError):
                return [*findings, response_checks.no_signed_response("the server's keys cannot be fetched")]
            keys = fetched[0]
        token = secrets.token_urlsafe(32).encode()

        async def request(requests: RequestBuilder) -> IntrospectionOutcome:
            name: EndpointName = "introspection_endpoint"
            authentication = requests.authentication(name) if own is None else StaticCredentials(own)
            source: KeySource = _FetchedKeys(keys)
            reader = requests.reader(lambda: source)
            introspector = Introspector(requests.endpoint(name, url), authentication, reader)
            result: IntrospectionResult = await outcome_of(partial(introspector.send, token, OWN))
            return result.outcome

        outcome, response, accepted = await self._authenticate(probe, request, "credentials", "introspection_endpoint")
        if isinstance(response, Finding):
            return [*findings, self._unanswered(response)]
        method: response_checks.Method = self._server.client_authentication if own is None else "own_token"
        signed = self._server.signed_answers
        finding = response_checks.credentials(outcome, response, method, accepted, signed=signed)
        return [*findings, finding, *self._check_times(response)]

    def _unanswered(self, finding: Finding) -> Finding:
        """Return the finding for a made-up token without response; a server may treat only unknown tokens so."""
        result = self._recorder.results[-1]
        if isinstance(result, UpstreamError) and result.reason is UpstreamFailure.UNAVAILABLE:
            return response_checks.closed_connection(result.detail) if finding.found == result.detail else finding
        return finding

    async def _authenticate(
        self, probe: ConnectionProbe, request: Callable[[RequestBuilder], Awaitable[T]], subject: str, setting: str
    ) -> tuple[T, ServerResponse | Finding, SecretMethod | None]:
        """Send a request with our credentials. Returns its outcome, and the response or why there is none.

        If the server refuses the client secret, it is sent in the other way too; that way is returned if it works.
        """
        outcome = await request(self._requests)
        response = await self._last_response(probe, subject, setting)
        client = _secret_client(self._server)
        if client is None or not response_checks.is_refusal(outcome, response):
            return outcome, response, None
        (other,) = (method for method in _SECRET_METHODS if method != client.method)
        server = replace(self._server, client_authentication=other)
        retried = await request(replace(self._requests, server=server))
        accepted = not isinstance(retried, IntrospectionError)
        return outcome, response, other if accepted else None

    # Keys

    async def _check_keys(self) -> list[Finding]:
        fetched, findings = await self._fetch_keys()
        if fetched is None:
            return findings
        outcome, response = fetched
        if isinstance(response, Finding):
            return [*findings, response]
        keys = response_checks.keys(outcome, response, self._server.jwt.algorithms)
        return [*findings, *keys, *self._check_times(response)]

    async def _fetch_keys(
        self,
    ) -> tuple[tuple[KeySet | IntrospectionError, ServerResponse | Finding] | None, list[Finding]]:
        """Fetch the server's keys, once. Returns None if it cannot be reached, and the findings of connecting."""
        url = self._endpoints.get("jwks_uri")
        probe, findings = await self._connect(url)
        if self._keys is None and probe is not None and url is not None:
            from enforcer.tokens.jwt import jwks

            fetcher = DocumentFetcher(self._requests.endpoint("jwks_uri", url), jwks.parse)
            outcome = await outcome_of(fetcher.fetch)
            self._keys = outcome, await self._last_response(probe, "keys", "jwks_uri")
        return self._keys, findings

    # Connections and responses

    async def _last_response(self, probe: ConnectionProbe, subject: str, setting: str) -> ServerResponse | Finding:
        """Return the last response, or why there is none."""
        result = self._recorder.results[-1]
        if isinstance(result, ServerResponse):
            return UNEXPECTED_TLS if result.status == 400 and await probe.has_unexpected_tls() else result
        if isinstance(result, IntrospectionError):
            return wrong(subject, result.detail, f"correct {setting}")
        if result.detail == RESPONSE_TOO_LARGE:
            return response_checks.too_large(subject, setting)
        return await probe.explain(result, self._server.timeout)

    def _check_times(self, response: ServerResponse) -> list[Finding]:
        """Check clock and response time, only for the first response of a server."""
        if self._timed:
            return []
        self._timed = True
        return [
            diagnosis.clock(response.fields.get("date"), response.sent, response.received),
            diagnosis.answer_time(response.received - response.sent, self._server.timeout),
        ]

    async def _connect(self, url: str | None) -> tuple[ConnectionProbe | None, list[Finding]]:
        """Probe the connection to a URL, once per origin.

        Returns the probe, None if a step failed or the URL is not known, and the findings not returned before.
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
        return probe if is_right(findings) else None, [*unseen]


def _secret_client(server: AuthorizationServer) -> SecretClient | None:
    client = authorization_server.client(server)
    return client if isinstance(client, SecretClient) else None


def _origin(url: str) -> tuple[bool, str]:
    location = parse_url(url)
    return location.secure, location.authority
