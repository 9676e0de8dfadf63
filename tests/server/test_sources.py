"""Token sources built from settings, against servers on real sockets."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority, file_of
from harness.issuers import Issuer, running_issuer
from harness.outcomes import outcome
from harness.signing import key, text
from harness.waiting import TIMEOUT, eventually
from joserfc import jwt

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.secret import Secret
from enforcer.server.sources import SourceBuilder
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.connections.tls import ClientTLS
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.response import InactiveToken, VerificationResult
from enforcer.tokens.issuers import IssuerScope
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.ticker import Ticker

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
PRIVATE = Secret(text(key("ES256", 7).as_dict(private=True)).decode())
GOOD = {"good": {"sub": "joe"}}
Ask = Callable[..., Awaitable[VerificationResult | IntrospectionError]]


def settings(issuer: Issuer | None = None, **changes: Any) -> AuthorizationServer:
    """Return settings of a client with a secret. Its server is discovered, unless `changes` have endpoints."""
    client = {"client_id": "enforcer", "client_secret": Secret("s3cret")}
    if changes.get("verify") == "jwt":
        client = {}
    return AuthorizationServer(**{"issuer": issuer and issuer.url, "timeout": 2.0, **client, **changes})


def introspect(
    server: AuthorizationServer, *tokens: str, metrics: IntrospectionMetrics | None = None
) -> list[VerificationResult | IntrospectionError]:
    """Return the verification results of tokens, one after another."""

    async def run() -> list[VerificationResult | IntrospectionError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        source = SourceBuilder(server, {}, metrics or IntrospectionMetrics(), ticker, loop).source(
            IssuerScope(server.issuer)
        )
        results = [await introspect_one(source, token) for token in tokens]
        source.close()
        ticker.stop()
        # Closing TLS connections takes a round trip; afterwards only the loop's own pipe is registered.
        watched = loop._selector.get_map()  # type: ignore[attr-defined]
        assert await loop.run_in_executor(None, eventually, lambda: len(watched) <= 1)
        return results

    return asyncio.run(run())


async def introspect_one(source: TokenSource, token: str) -> VerificationResult | IntrospectionError:
    return await outcome(partial(source.introspect, Lookup(token.encode(), "192.0.2.1")))


def summarize(results: list[VerificationResult | IntrospectionError]) -> list[object]:
    """Return for each result the subject of an active token, False for an inactive token, or the failure."""
    kinds: list[object] = []
    for result in results:
        if isinstance(result, ActiveToken):
            kinds.append(result.subject)
        else:
            kinds.append(False if isinstance(result, InactiveToken) else result.reason)
    return kinds


# Discovery


def test_an_issuer_is_enough() -> None:
    """Its metadata names every endpoint, and is fetched once."""
    with running_issuer(GOOD) as issuer:
        assert summarize(introspect(settings(issuer), "good", "junk")) == ["joe", False]
        assert issuer.paths == {METADATA: 1, "/introspect": 2}
        assert issuer.introspected_tokens == ["good", "junk"]


@pytest.mark.parametrize("verify", ["jwt", "jwt_then_introspect"])
def test_an_issuer_is_enough_for_jwts(verify: str) -> None:
    """A JWT is verified with the keys and sent to no server."""
    with running_issuer(GOOD) as issuer:
        good, forged = issuer.jwt(sub="ann"), issuer.jwt()[:-8] + "AAAAAAAA"
        assert summarize(introspect(settings(issuer, verify=verify), good, forged)) == ["ann", False]
        assert issuer.paths == {METADATA: 1, "/keys": 1}


def test_openid_metadata_is_used_if_there_is_no_other() -> None:
    """OpenID Connect Discovery 1.0 §4: such a server responds with 404 to the URL of RFC 8414."""
    with running_issuer(GOOD) as issuer:
        issuer.statuses[METADATA] = "404 Not Found"
        issuer.metadata_paths = (OPENID,)
        assert summarize(introspect(settings(issuer), "good")) == ["joe"]
        assert issuer.paths == {METADATA: 1, OPENID: 1, "/introspect": 1}


def test_a_configured_endpoint_takes_precedence() -> None:
    """Over the metadata, which is not fetched if every endpoint is configured."""
    with running_issuer(GOOD) as issuer, running_issuer() as other:
        issuer.metadata["introspection_endpoint"] = f"{other.url}/introspect"
        configured = f"{issuer.url}/introspect"
        assert summarize(introspect(settings(issuer, introspection_endpoint=configured), "good")) == ["joe"]
        assert issuer.paths == {"/introspect": 1}
        mixed = settings(issuer, introspection_endpoint=configured, verify="jwt_then_introspect")
        assert summarize(introspect(mixed, "good", issuer.jwt())) == ["joe", "joe"]
        assert issuer.paths[METADATA] == issuer.paths["/keys"] == 1
        assert other.server.connections == 0


def test_jwts_are_verified_without_metadata_if_the_key_url_is_configured() -> None:
    """Only opaque tokens need the metadata, and fail until it is there."""
    with running_issuer(GOOD) as issuer:
        issuer.statuses[METADATA] = "500 Down"
        server = settings(issuer, jwks_uri=f"{issuer.url}/keys", verify="jwt_then_introspect")
        assert summarize(introspect(server, issuer.jwt(), "good")) == ["joe", IntrospectionFailure.UNAVAILABLE]
        assert issuer.introspected_tokens == []


def test_tokens_are_sent_only_once_the_metadata_is_there() -> None:
    """It is fetched again in the background; neither the start nor a request waits for it."""
    metrics = IntrospectionMetrics()

    async def run(issuer: Issuer) -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        source = SourceBuilder(settings(issuer), {}, metrics, ticker, loop).source(IssuerScope(issuer.url))
        issuer.statuses[METADATA] = "503 Down"
        assert summarize([await introspect_one(source, "good")]) == [IntrospectionFailure.UNAVAILABLE]
        assert summarize([await introspect_one(source, "good")]) == [IntrospectionFailure.UNAVAILABLE]
        assert issuer.paths == {METADATA: 1}  # it did not wait for the next attempt
        del issuer.statuses[METADATA]
        assert await loop.run_in_executor(None, eventually, lambda: issuer.paths[METADATA] == 2)
        assert summarize([await introspect_one(source, "good")]) == ["joe"]
        source.close()
        ticker.stop()

    with running_issuer(GOOD) as issuer:
        asyncio.run(run(issuer))
        assert issuer.introspected_tokens == ["good"]
    assert metrics.fetches["metadata"].results == {"unavailable": 1, "ok": 1}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"issuer": "http://localhost:1"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"introspection_endpoint": None}, "names no introspection_endpoint"),
        ({"introspection_endpoint": "http://user@localhost/x"}, "not a URL without user"),
        ({"introspection_endpoint": "file:///etc/passwd"}, "not a URL without user"),
        ({"introspection_endpoint": 1}, "not a URL without user"),
    ],
)
def test_invalid_metadata_is_not_used(metadata: dict[str, Any], message: str) -> None:
    """RFC 8414 §3.3, §6.2. No token is sent."""
    with running_issuer(GOOD) as issuer:
        issuer.metadata = metadata
        (error,) = introspect(settings(issuer), "good")
        assert isinstance(error, IntrospectionError)
        assert error.reason is IntrospectionFailure.MALFORMED
        assert message in error.detail
        assert issuer.introspected_tokens == []


def test_a_redirect_of_metadata_is_not_followed() -> None:
    """RFC 8414 §3.2 permits no other place."""
    with running_issuer(GOOD) as issuer, running_issuer(GOOD) as other:
        for path in (METADATA, OPENID):
            issuer.statuses[path] = f"302 Found\r\nLocation: {other.url}{path}"
        assert summarize(introspect(settings(issuer), "good")) == [IntrospectionFailure.MALFORMED]
        assert other.server.connections == 0
        assert issuer.introspected_tokens == []


def test_metadata_over_tls_must_name_https_endpoints(authority: Authority) -> None:
    """Otherwise a document could move token and secret to an unencrypted connection."""
    with running_issuer(GOOD, authority.server_context("localhost")) as issuer, running_issuer(GOOD) as clear:
        issuer.metadata["introspection_endpoint"] = f"{clear.url}/introspect"
        server = settings(issuer, tls=ClientTLS(ca=file_of(authority.ca)))
        (error,) = introspect(server, "good")
        assert isinstance(error, IntrospectionError)
        assert "introspection_endpoint is not https" in error.detail
        assert clear.server.connections == 0


# Client authentication


def is_basic(head: bytes, form: Any) -> bool:
    return b"Basic " + base64.b64encode(b"enforcer:s3cret") in head and "client_id" not in form


def is_post(head: bytes, form: Any) -> bool:
    return b"Authorization" not in head and (form["client_id"], form["client_secret"]) == (["enforcer"], ["s3cret"])


@pytest.mark.parametrize(("method", "accepts"), [("client_secret_basic", is_basic), ("client_secret_post", is_post)])
@pytest.mark.parametrize("own_token", [None, OwnTokenSettings()])
def test_the_secret_is_sent_in_one_way(
    method: str, accepts: Callable[..., bool], own_token: OwnTokenSettings | None
) -> None:
    """With an own token, the secret is sent only to the token endpoint."""
    with running_issuer(GOOD) as issuer:
        issuer.accepts = accepts if own_token is None else lambda head, form: "token" in form or accepts(head, form)
        server = settings(issuer, client_authentication=method, own_token=own_token)
        assert summarize(introspect(server, "good")) == ["joe"]
        introspection = issuer.forms[-1]
        assert sorted(introspection) == (
            ["client_id", "client_secret", "token", "token_type_hint"]
            if own_token is None and method == "client_secret_post"
            else ["token", "token_type_hint"]
        )


def test_each_assertion_is_new_and_signed_for_the_issuer() -> None:
    """RFC 7523 §3."""
    with running_issuer(GOOD) as issuer:
        server = settings(issuer, client_secret=None, client_key=PRIVATE, client_authentication="private_key_jwt")
        assert summarize(introspect(server, "good", "good")) == ["joe", "joe"]
        assertions = [form["client_assertion"][0] for form in issuer.forms]
        claims = [jwt.decode(assertion, key("ES256", 7), algorithms=["ES256"]).claims for assertion in assertions]
        assert {claim_set["aud"] for claim_set in claims} == {issuer.url}
        assert {(claim_set["iss"], claim_set["sub"]) for claim_set in claims} == {("enforcer", "enforcer")}
        assert len({claim_set["jti"] for claim_set in claims}) == 2
        assert not any(issuer.authorization_fields)


def test_without_an_issuer_an_assertion_is_signed_for_the_endpoint() -> None:
    """No other identifier of the server is configured."""
    with running_issuer(GOOD) as issuer:
        endpoint = f"{issuer.url}/introspect"
        server = settings(
            introspection_endpoint=endpoint,
            client_secret=None,
            client_key=PRIVATE,
            client_authentication="private_key_jwt",
        )
        assert summarize(introspect(server, "good")) == ["joe"]
        assertion = jwt.decode(issuer.forms[0]["client_assertion"][0], key("ES256", 7), algorithms=["ES256"])
        assert assertion.claims["aud"] == endpoint


def test_a_client_certificate_is_sent_without_a_secret(authority: Authority) -> None:
    """RFC 8705 §2, to the endpoints for mutual TLS (§5)."""
    certificate, private = authority.issue("enforcer")
    tls = ClientTLS(ca=file_of(authority.ca), certificate=file_of(certificate), key=file_of(private))
    with (
        running_issuer({}, authority.server_context("localhost")) as issuer,
        running_issuer(GOOD, authority.server_context("localhost", require_client_certificate=True)) as mutual,
    ):
        issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": f"{mutual.url}/introspect"}
        server = settings(issuer, client_secret=None, client_authentication="tls_client_auth", tls=tls)
        assert summarize(introspect(server, "good")) == ["joe"]
        assert mutual.forms == [{"token": ["good"], "token_type_hint": ["access_token"], "client_id": ["enforcer"]}]
        assert issuer.paths == {METADATA: 1}
        anonymous = ClientTLS(ca=file_of(authority.ca))
        plain = settings(introspection_endpoint=f"{mutual.url}/introspect", tls=anonymous)
        assert summarize(introspect(plain, "good")) == [IntrospectionFailure.UNAVAILABLE]


def test_one_own_token_serves_all_introspection_requests() -> None:
    """RFC 7662 §2.1: sent as a bearer token. It is requested once, with the configured scopes."""
    metrics = IntrospectionMetrics()
    with running_issuer(GOOD) as issuer:
        server = settings(issuer, own_token=OwnTokenSettings(scopes=("introspect", "b")))
        assert summarize(introspect(server, "good", "junk", "good", metrics=metrics)) == ["joe", False, "joe"]
        assert issuer.forms[0] == {"grant_type": ["client_credentials"], "scope": ["introspect b"]}
        assert issuer.authorization_fields[1:] == ["Bearer own1"] * 3
        assert issuer.paths == {METADATA: 1, "/token": 1, "/introspect": 3}
    assert metrics.fetches["own_token"].results == {"ok": 1}


def test_without_an_own_token_nothing_is_introspected() -> None:
    """The result is a failure (503), never an inactive token."""
    with running_issuer(GOOD) as issuer:
        issuer.accepts = lambda head, form: False
        server = settings(issuer, own_token=OwnTokenSettings())
        assert summarize(introspect(server, "good", "junk")) == [IntrospectionFailure.REFUSED] * 2
        assert issuer.introspected_tokens == []
        assert issuer.paths == {METADATA: 1, "/token": 1}


def test_a_refused_own_token_is_replaced() -> None:
    """After a 401 of the introspection endpoint, a new one is requested."""

    async def run(issuer: Issuer) -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        server = settings(issuer, own_token=OwnTokenSettings())
        source = SourceBuilder(server, {}, IntrospectionMetrics(), ticker, loop).source(IssuerScope(issuer.url))
        assert summarize([await introspect_one(source, "good")]) == ["joe"]
        issuer.accepts = lambda head, form: b"Bearer own1" not in head
        assert summarize([await introspect_one(source, "good")]) == [IntrospectionFailure.REFUSED]
        ticker.next += 10.0
        assert summarize([await introspect_one(source, "good")]) == ["joe"]
        source.close()
        ticker.stop()

    with running_issuer(GOOD) as issuer:
        asyncio.run(run(issuer))
        assert [line for line in issuer.authorization_fields if "Bearer" in line] == [
            *["Bearer own1"] * 3,
            "Bearer own2",
        ]
        assert issuer.issued_tokens == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"client_authentication": "client_secret_post"},
        {"client_authentication": "private_key_jwt", "client_secret": None, "client_key": PRIVATE},
        {"own_token": OwnTokenSettings()},
    ],
)
def test_the_token_parameter_has_the_literal_value_once(changes: dict[str, Any]) -> None:
    """For every client authentication, and every character of a b64token (a bug in NGINX njs)."""
    token = "a-._~+/b=="
    with running_issuer({token: {"sub": "joe"}}) as issuer:
        assert summarize(introspect(settings(issuer, **changes), token)) == ["joe"]
        assert all(len(values) == 1 for form in issuer.forms for values in form.values())
        assert issuer.introspected_tokens == [token]


def test_a_signed_introspection_response_is_required_if_configured() -> None:
    """RFC 9701, with the keys of the metadata. Unsigned responses, and those for another client, are malformed."""
    with running_issuer(GOOD) as issuer:
        issuer.signs_responses = True
        server = settings(issuer, signed_answers=True)
        assert summarize(introspect(server, "good", "junk")) == ["joe", False]
        assert issuer.paths == {METADATA: 1, "/keys": 1, "/introspect": 2}
        issuer.claims["aud"] = "another"
        assert summarize(introspect(server, "good")) == [IntrospectionFailure.MALFORMED]
        issuer.signs_responses = False
        assert summarize(introspect(server, "good", "junk")) == [IntrospectionFailure.MALFORMED] * 2


# Closing


@pytest.mark.parametrize(
    "changes", [{}, {"verify": "jwt_then_introspect"}, {"own_token": OwnTokenSettings()}, {"signed_answers": True}]
)
def test_a_closed_source_stops_after_running_requests(changes: dict[str, Any]) -> None:
    """No ticker callback and no connection is left. Running requests get results, and so do late ones."""
    release, reached = threading.Event(), threading.Event()

    def slow(head: bytes, form: Any) -> bool:
        if form.get("token") == ["slow"]:
            reached.set()
            release.wait(TIMEOUT)
        return True

    async def run(issuer: Issuer) -> list[VerificationResult | IntrospectionError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        builder = SourceBuilder(settings(issuer, **changes), {}, IntrospectionMetrics(), ticker, loop)
        source = builder.source(IssuerScope(issuer.url))
        first = loop.create_task(introspect_one(source, "slow"))
        assert await loop.run_in_executor(None, reached.wait, 10)
        source.close()
        late = loop.create_task(introspect_one(source, "late"))
        await asyncio.sleep(0)
        release.set()
        results = [await first, await late]
        assert await loop.run_in_executor(None, eventually, lambda: not ticker._sweeps)
        ticker.stop()
        return results

    with running_issuer({"slow": {"sub": "joe"}, "late": {"sub": "ann"}}) as issuer:
        issuer.accepts = slow
        issuer.signs_responses = True
        assert summarize(asyncio.run(run(issuer))) == ["joe", "ann"]
        assert eventually(lambda: not issuer.server.open)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
