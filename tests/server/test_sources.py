"""Who says what a server's tokens are worth, made from settings, against servers on real sockets."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.issuers import Issuer, running_issuer
from harness.signing import key, text
from harness.waiting import eventually
from joserfc import jwt

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.secret import Secret
from enforcer.server.sources import make_source
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.tls import ClientTLS
from enforcer.tokens.introspection.response import ActiveToken, InactiveToken, VerificationResult
from enforcer.tokens.issuers import IssuerScope
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.ticker import Ticker

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
PRIVATE = Secret(text(key("ES256", 7).as_dict(private=True)).decode())
GOOD = {"good": {"sub": "joe"}}
Ask = Callable[..., Awaitable[VerificationResult | IntrospectionError]]


def settings(issuer: Issuer | None = None, **changes: Any) -> AuthorizationServer:
    """Make settings of a client with a secret, whose server is discovered unless endpoints are given."""
    client = {"client_id": "enforcer", "client_secret": Secret("s3cret")}
    if changes.get("verify") == "jwt":
        client = {}
    return AuthorizationServer(**{"issuer": issuer and issuer.url, "timeout": 2.0, **client, **changes})


def asked(
    server: AuthorizationServer,
    *tokens: str,
    metrics: IntrospectionMetrics | None = None,
) -> list[VerificationResult | IntrospectionError]:
    """Ask about tokens, one after the other."""

    async def run() -> list[VerificationResult | IntrospectionError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        source = make_source(server, IssuerScope(server.issuer), {}, metrics or IntrospectionMetrics(), ticker, loop)
        results = [await ask(source, token) for token in tokens]
        source.close()
        ticker.stop()
        # A TLS connection ends when the other side agrees: until nothing but the loop's own pipe is left to watch.
        watched = loop._selector.get_map()  # type: ignore[attr-defined]
        assert await loop.run_in_executor(None, eventually, lambda: len(watched) <= 1)
        return results

    return asyncio.run(run())


async def ask(source: TokenSource, token: str) -> VerificationResult | IntrospectionError:
    told: asyncio.Future[VerificationResult | IntrospectionError] = asyncio.get_running_loop().create_future()
    source.introspect(token.encode(), told.set_result)
    return await told


def kinds(results: list[VerificationResult | IntrospectionError]) -> list[object]:
    """Tell what came: the subject of an active token, False of an inactive one, or the reason why nothing did."""
    told: list[object] = []
    for result in results:
        if isinstance(result, ActiveToken):
            told.append(result.subject)
        else:
            told.append(False if isinstance(result, InactiveToken) else result.reason)
    return told


# Discovery


def test_the_issuer_alone_is_enough() -> None:
    """Its metadata names all that is needed, and is fetched once."""
    with running_issuer(GOOD) as issuer:
        assert kinds(asked(settings(issuer), "good", "junk")) == ["joe", False]
        assert issuer.paths == {METADATA: 1, "/introspect": 2}
        assert issuer.introspected_tokens == ["good", "junk"]


@pytest.mark.parametrize("verify", ["jwt", "jwt_then_introspect"])
def test_so_it_is_for_keys(verify: str) -> None:
    """A JWT is verified, and shown to nobody."""
    with running_issuer(GOOD) as issuer:
        good, forged = issuer.jwt(sub="ann"), issuer.jwt()[:-8] + "AAAAAAAA"
        assert kinds(asked(settings(issuer, verify=verify), good, forged)) == ["ann", False]
        assert issuer.paths == {METADATA: 1, "/keys": 1}


def test_openid_metadata_does_where_there_is_no_other() -> None:
    """OpenID Connect Discovery 1.0 §4; a server that does not know the standard's place answers 404 there."""
    with running_issuer(GOOD) as issuer:
        issuer.statuses[METADATA] = "404 Not Found"
        issuer.metadata_paths = (OPENID,)
        assert kinds(asked(settings(issuer), "good")) == ["joe"]
        assert issuer.paths == {METADATA: 1, OPENID: 1, "/introspect": 1}


def test_an_endpoint_that_is_set_wins() -> None:
    """Whatever the metadata says; where nothing else is needed, it is not even fetched."""
    with running_issuer(GOOD) as issuer, running_issuer() as other:
        issuer.metadata["introspection_endpoint"] = f"{other.url}/introspect"
        here = f"{issuer.url}/introspect"
        assert kinds(asked(settings(issuer, introspection_endpoint=here), "good")) == ["joe"]
        assert issuer.paths == {"/introspect": 1}
        mixed = settings(issuer, introspection_endpoint=here, verify="jwt_then_introspect")
        assert kinds(asked(mixed, "good", issuer.jwt())) == ["joe", "joe"]
        assert issuer.paths[METADATA] == issuer.paths["/keys"] == 1
        assert other.server.connections == 0


def test_what_needs_no_metadata_does_not_wait_for_it() -> None:
    """Keys are known, where to ask is not: JWTs are served, opaque tokens are 503."""
    with running_issuer(GOOD) as issuer:
        issuer.statuses[METADATA] = "500 Down"
        server = settings(issuer, jwks_uri=f"{issuer.url}/keys", verify="jwt_then_introspect")
        assert kinds(asked(server, issuer.jwt(), "good")) == ["joe", IntrospectionFailure.UNAVAILABLE]
        assert issuer.introspected_tokens == []


def test_until_it_is_found_nothing_is_sent_and_then_all_is_well() -> None:
    """It is looked for in the background, again and again; the start does not wait, nor does anybody who asks."""
    metrics = IntrospectionMetrics()

    async def run(issuer: Issuer) -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        source = make_source(settings(issuer), IssuerScope(issuer.url), {}, metrics, ticker, loop)
        issuer.statuses[METADATA] = "503 Down"
        assert kinds([await ask(source, "good")]) == [IntrospectionFailure.UNAVAILABLE]
        began = time.monotonic()
        assert kinds([await ask(source, "good")]) == [IntrospectionFailure.UNAVAILABLE]
        assert time.monotonic() - began < 0.1
        assert issuer.paths == {METADATA: 1}
        del issuer.statuses[METADATA]
        assert await loop.run_in_executor(None, eventually, lambda: issuer.paths[METADATA] == 2)
        assert kinds([await ask(source, "good")]) == ["joe"]
        source.close()
        ticker.stop()

    with running_issuer(GOOD) as issuer:
        asyncio.run(run(issuer))
        assert issuer.introspected_tokens == ["good"]
    assert metrics.fetches["metadata"].results == {"unavailable": 1, "ok": 1}


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "http://localhost:1"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"introspection_endpoint": None}, "names no introspection_endpoint"),
        ({"introspection_endpoint": "http://user@localhost/x"}, "not a URL without user"),
        ({"introspection_endpoint": "file:///etc/passwd"}, "not a URL without user"),
        ({"introspection_endpoint": 1}, "not a URL without user"),
    ],
)
def test_metadata_that_cannot_be_believed_leads_nowhere(metadata: dict[str, Any], why: str) -> None:
    """RFC 8414 §3.3, §6.2: nothing is shown to anybody."""
    with running_issuer(GOOD) as issuer:
        issuer.metadata = metadata
        (error,) = asked(settings(issuer), "good")
        assert isinstance(error, IntrospectionError)
        assert error.reason is IntrospectionFailure.MALFORMED
        assert why in error.detail
        assert issuer.introspected_tokens == []


def test_metadata_that_redirects_leads_nowhere() -> None:
    """RFC 8414 §3.2: it is at its place, or not at all."""
    with running_issuer(GOOD) as issuer, running_issuer(GOOD) as other:
        for path in (METADATA, OPENID):
            issuer.statuses[path] = f"302 Found\r\nLocation: {other.url}{path}"
        assert kinds(asked(settings(issuer), "good")) == [IntrospectionFailure.MALFORMED]
        assert other.server.connections == 0
        assert issuer.introspected_tokens == []


def test_secure_metadata_leads_nowhere_in_the_clear(authority: Authority) -> None:
    """Neither token nor secret leaves TLS because a document says so."""
    with running_issuer(GOOD, authority.server_context("localhost")) as issuer, running_issuer(GOOD) as clear:
        issuer.metadata["introspection_endpoint"] = f"{clear.url}/introspect"
        server = settings(issuer, tls=ClientTLS(ca=authority.ca))  # type: ignore[arg-type]
        (error,) = asked(server, "good")
        assert isinstance(error, IntrospectionError)
        assert "introspection_endpoint is not https" in error.detail
        assert clear.server.connections == 0


# How the enforcer authenticates


def is_basic(head: bytes, form: Any) -> bool:
    return b"Basic " + base64.b64encode(b"enforcer:s3cret") in head and "client_id" not in form


def is_post(head: bytes, form: Any) -> bool:
    return b"Authorization" not in head and (form["client_id"], form["client_secret"]) == (["enforcer"], ["s3cret"])


@pytest.mark.parametrize(("method", "accepts"), [("client_secret_basic", is_basic), ("client_secret_post", is_post)])
@pytest.mark.parametrize("own_token", [None, OwnTokenSettings()])
def test_the_secret_is_shown_in_one_way(
    method: str, accepts: Callable[..., bool], own_token: OwnTokenSettings | None
) -> None:
    """Where a token of our own is used, only where that is got."""
    with running_issuer(GOOD) as issuer:
        issuer.accepts = accepts if own_token is None else lambda head, form: "token" in form or accepts(head, form)
        server = settings(issuer, client_authentication=method, own_token=own_token)
        assert kinds(asked(server, "good")) == ["joe"]
        introspection = issuer.forms[-1]
        assert sorted(introspection) == (
            ["client_id", "client_secret", "token", "token_type_hint"]
            if own_token is None and method == "client_secret_post"
            else ["token", "token_type_hint"]
        )


def test_an_assertion_is_signed_for_the_issuer_and_never_shown_twice() -> None:
    """RFC 7523 §3."""
    with running_issuer(GOOD) as issuer:
        server = settings(
            issuer,
            client_secret=None,
            client_key=PRIVATE,
            client_authentication="private_key_jwt",
        )
        assert kinds(asked(server, "good", "good")) == ["joe", "joe"]
        seen = [form["client_assertion"][0] for form in issuer.forms]
        claims = [jwt.decode(one, key("ES256", 7), algorithms=["ES256"]).claims for one in seen]
        assert {one["aud"] for one in claims} == {issuer.url}
        assert {(one["iss"], one["sub"]) for one in claims} == {("enforcer", "enforcer")}
        assert len({one["jti"] for one in claims}) == 2
        assert not any(issuer.authorization_fields)


def test_without_an_issuer_it_is_signed_for_the_endpoint() -> None:
    """Nothing else is known of the server."""
    with running_issuer(GOOD) as issuer:
        endpoint = f"{issuer.url}/introspect"
        server = settings(
            introspection_endpoint=endpoint,
            client_secret=None,
            client_key=PRIVATE,
            client_authentication="private_key_jwt",
        )
        assert kinds(asked(server, "good")) == ["joe"]
        assertion = jwt.decode(issuer.forms[0]["client_assertion"][0], key("ES256", 7), algorithms=["ES256"])
        assert assertion.claims["aud"] == endpoint


def test_a_certificate_is_shown_and_no_secret(authority: Authority) -> None:
    """RFC 8705 §2, and at the endpoints that are for such clients (§5)."""
    certificate, private = authority.issue("enforcer")
    tls = ClientTLS(ca=authority.ca, certificate=certificate, key=private)  # type: ignore[arg-type]
    with (
        running_issuer({}, authority.server_context("localhost")) as issuer,
        running_issuer(GOOD, authority.server_context("localhost", require_client_certificate=True)) as mutual,
    ):
        issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": f"{mutual.url}/introspect"}
        server = settings(issuer, client_secret=None, client_authentication="tls_client_auth", tls=tls)
        assert kinds(asked(server, "good")) == ["joe"]
        assert mutual.forms == [{"token": ["good"], "token_type_hint": ["access_token"], "client_id": ["enforcer"]}]
        assert issuer.paths == {METADATA: 1}
        anonymous = ClientTLS(ca=authority.ca)  # type: ignore[arg-type]
        plain = settings(introspection_endpoint=f"{mutual.url}/introspect", tls=anonymous)
        assert kinds(asked(plain, "good")) == [IntrospectionFailure.UNAVAILABLE]


def test_one_token_of_our_own_serves_all_questions() -> None:
    """RFC 7662 §2.1: Bearer at the introspection endpoint; it is got once, with the scopes that are set."""
    metrics = IntrospectionMetrics()
    with running_issuer(GOOD) as issuer:
        server = settings(issuer, own_token=OwnTokenSettings(scopes=("introspect", "b")))
        assert kinds(asked(server, "good", "junk", "good", metrics=metrics)) == ["joe", False, "joe"]
        assert issuer.forms[0] == {"grant_type": ["client_credentials"], "scope": ["introspect b"]}
        assert issuer.authorization_fields[1:] == ["Bearer own1"] * 3
        assert issuer.paths == {METADATA: 1, "/token": 1, "/introspect": 3}
    assert metrics.fetches["own_token"].results == {"ok": 1}


def test_while_there_is_no_token_of_our_own_nobody_is_shown_anything() -> None:
    """It is 503, and never a judgement of the token."""
    with running_issuer(GOOD) as issuer:
        issuer.accepts = lambda head, form: False
        server = settings(issuer, own_token=OwnTokenSettings())
        assert kinds(asked(server, "good", "junk")) == [IntrospectionFailure.REFUSED] * 2
        assert issuer.introspected_tokens == []
        assert issuer.paths == {METADATA: 1, "/token": 1}


def test_a_server_that_has_forgotten_our_token_gives_another() -> None:
    """401 at the introspection endpoint: it is got anew, and nobody notices."""

    async def run(issuer: Issuer) -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        server = settings(issuer, own_token=OwnTokenSettings())
        source = make_source(server, IssuerScope(issuer.url), {}, IntrospectionMetrics(), ticker, loop)
        assert kinds([await ask(source, "good")]) == ["joe"]
        issuer.accepts = lambda head, form: b"Bearer own1" not in head
        assert kinds([await ask(source, "good")]) == [IntrospectionFailure.REFUSED]
        ticker.next += 10.0
        assert kinds([await ask(source, "good")]) == ["joe"]
        source.close()
        ticker.stop()

    with running_issuer(GOOD) as issuer:
        asyncio.run(run(issuer))
        assert [line for line in issuer.authorization_fields if "Bearer" in line] == [
            "Bearer own1",
            "Bearer own1",
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
def test_there_is_one_token_parameter_with_the_literal_value(changes: dict[str, Any]) -> None:
    """However the enforcer authenticates, and whatever a b64token may hold (NGINX njs)."""
    token = "a-._~+/b=="
    with running_issuer({token: {"sub": "joe"}}) as issuer:
        assert kinds(asked(settings(issuer, **changes), token)) == ["joe"]
        assert all(len(values) == 1 for form in issuer.forms for values in form.values())
        assert issuer.introspected_tokens == [token]


def test_an_answer_that_is_to_be_signed_is_believed_when_it_is() -> None:
    """RFC 9701, by the keys of the metadata; what is not signed, or signed for another, is no answer."""
    with running_issuer(GOOD) as issuer:
        issuer.signs_responses = True
        server = settings(issuer, signed_answers=True)
        assert kinds(asked(server, "good", "junk")) == ["joe", False]
        assert issuer.paths == {METADATA: 1, "/keys": 1, "/introspect": 2}
        issuer.claims["aud"] = "another"
        assert kinds(asked(server, "good")) == [IntrospectionFailure.MALFORMED]
        issuer.signs_responses = False
        assert kinds(asked(server, "good", "junk")) == [IntrospectionFailure.MALFORMED] * 2


# How it ends


@pytest.mark.parametrize(
    "changes", [{}, {"verify": "jwt_then_introspect"}, {"own_token": OwnTokenSettings()}, {"signed_answers": True}]
)
def test_a_closed_source_ends_its_work_and_not_that_of_others(changes: dict[str, Any]) -> None:
    """Nothing is left on the ticker and no connection stays; who is being answered is, and who asks late, too."""
    held, reached = threading.Event(), threading.Event()

    def slow(head: bytes, form: Any) -> bool:
        if form.get("token") == ["slow"]:
            reached.set()
            held.wait(10)
        return True

    async def run(issuer: Issuer) -> list[VerificationResult | IntrospectionError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        source = make_source(
            settings(issuer, **changes), IssuerScope(issuer.url), {}, IntrospectionMetrics(), ticker, loop
        )
        first = loop.create_task(ask(source, "slow"))
        assert await loop.run_in_executor(None, reached.wait, 10)
        source.close()
        late = loop.create_task(ask(source, "late"))
        await asyncio.sleep(0)
        held.set()
        results = [await first, await late]
        assert await loop.run_in_executor(None, eventually, lambda: not ticker._sweeps)
        ticker.stop()
        return results

    with running_issuer({"slow": {"sub": "joe"}, "late": {"sub": "ann"}}) as issuer:
        issuer.accepts = slow
        issuer.signs_responses = True
        assert kinds(asyncio.run(run(issuer))) == ["joe", "ann"]
        assert eventually(lambda: not issuer.server.open)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    return Authority(tmp_path)
