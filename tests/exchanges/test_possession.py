"""Tokens that are bound to a certificate (RFC 8705) or a key (RFC 9449): worth nothing to whoever stole them."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.clients import Client, Response
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.signing import key, proof, public
from harness.upstreams import Headers, PeerClosedError, Upstream, upstream
from harness.usage import metric

from enforcer.tokens.dpop.binding import digest

MINE, THIEFS = key("ES256", 1), key("ES256", 2)
ALGORITHMS = 'algs="RS256 PS256 ES256 EdDSA"'
OFFER = f"DPoP {ALGORITHMS}".encode()
WRONG_TOKEN = b'Bearer error="invalid_token"'
WRONG_DPOP_TOKEN = [f'DPoP error="invalid_token", {ALGORITHMS}'.encode(), b"Bearer"]
WRONG_PROOF = [f'DPoP error="invalid_dpop_proof", {ALGORITHMS}'.encode(), b"Bearer"]

TOKENS: dict[str, dict[str, object]] = {
    "unbound": {"scope": "read", "sub": "alice"},
    "keyed": {"scope": "read", "sub": "alice", "cnf": {"jkt": MINE.thumbprint()}},
    "keyed-elsewhere": {"scope": "other", "cnf": {"jkt": MINE.thumbprint()}},
    "odd": {"scope": "read", "cnf": {"kid": "x"}},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, bytes]:
    """The certificates of three clients, DER; the files are the authority's."""
    names = ("client.example", "thief.example", "proxy.example")
    return {name: ssl.PEM_cert_to_DER_cert(authority.issue(name)[0].read_text()) for name in names}


@pytest.fixture(scope="module")
def server(certificates: dict[str, bytes]) -> Iterator[Server]:
    certified = {
        name.partition(".")[0]: {"scope": "read", "cnf": {"x5t#S256": digest(certificate)}}
        for name, certificate in certificates.items()
    }
    with introspection_server({**TOKENS, **certified}) as running:
        yield running


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


def field(head: Any, name: str) -> list[bytes]:
    """Return what the app got in a field, in whatever spelling."""
    return [value for found, value in head.headers if found.lower().replace(b"_", b"-") == name.lower().encode()]


def detail(answer: Response) -> str:
    return str(json.loads(answer.body)["detail"])


# Certificates


@pytest.fixture(scope="module")
def asking(authority: Authority, server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that asks its clients for a certificate, and serves those without one too."""
    certificate, private = authority.issue("localhost")
    tls = {
        "certificate": str(certificate),
        "key": str(private),
        "client_ca": str(authority.ca),
        "client_certificate": "optional",
    }
    with enforcer(config(app.url, server.port, listener={"tls": tls})) as process:
        yield process


def showing(authority: Authority, name: str | None) -> ssl.SSLContext:
    """Make the context of a client that shows the certificate of a name."""
    context = authority.client_context()
    if name is not None:
        folder = Path(authority.ca).parent
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.mark.parametrize(
    ("token", "shown", "status"),
    [
        ("client", "client.example", 200),
        ("client", "thief.example", 401),
        ("client", None, 401),
        ("thief", "client.example", 401),
        ("odd", "client.example", 401),
        ("keyed", "client.example", 401),
        ("unbound", "client.example", 200),
        ("unbound", None, 200),
    ],
)
def test_a_token_that_is_bound_to_a_certificate_needs_it(
    asking: Enforcer, authority: Authority, token: str, shown: str | None, status: int
) -> None:
    """RFC 8705 §3: on every request of a connection; whoever needs none is served without."""
    with Client(asking.port, token=token, tls=showing(authority, shown)) as client:
        for _ in range(3):
            answer = client.request("GET", "/thing")
            assert answer.status == status
            expected = [] if status == 200 else [WRONG_TOKEN, OFFER] if token == "keyed" else [WRONG_TOKEN]
            assert answer.values("WWW-Authenticate") == expected


def test_a_session_that_is_resumed_is_its_clients(asking: Enforcer, authority: Authority) -> None:
    """TLS 1.3 shows no certificate again: that of the session's beginning counts, and nobody else has the session."""
    context = showing(authority, "client.example")
    with Client(asking.port, token="client", tls=context) as first:
        assert first.request("GET", "/thing").status == 200
        assert isinstance(first.socket, ssl.SSLSocket)
        session = first.socket.session
    with Client(asking.port, token="client", tls=context, session=session) as again:
        assert isinstance(again.socket, ssl.SSLSocket)
        assert again.socket.session_reused
        assert again.request("GET", "/thing").status == 200
        again.token = "thief"
        assert again.request("GET", "/thing").status == 401


def test_a_certificate_of_no_known_authority_is_refused_though_none_is_required(
    asking: Enforcer, authority: Authority, tmp_path: Path
) -> None:
    """Anybody can make one."""
    stranger = Authority(tmp_path)
    context = authority.client_context()
    context.load_cert_chain(*stranger.issue("client.example"))
    with (
        pytest.raises((ssl.SSLError, ConnectionError, PeerClosedError)),
        Client(asking.port, token="unbound", tls=context) as client,
    ):
        client.request("GET", "/thing")


# Certificates behind a proxy that ends TLS (RFC 9440)


@pytest.fixture(scope="module")
def behind(server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that believes its proxy what certificate a client showed."""
    forwarding = {"trusted_proxies": ["127.0.0.1"], "client_cert": True}
    with enforcer(config(app.url, server.port, forwarding=forwarding)) as process:
        yield process


def written(certificate: bytes) -> str:
    """Write a certificate as a Client-Cert field has it."""
    return f":{base64.b64encode(certificate).decode()}:"


def test_a_trusted_proxy_says_which_certificate_its_client_showed(
    behind: Enforcer, app: Upstream, certificates: dict[str, bytes]
) -> None:
    """RFC 9440 §2: the one field that says so; and the app never gets it."""
    app.requests.clear()
    mine, thiefs = written(certificates["client.example"]), written(certificates["thief.example"])
    with Client(behind.port, token="client") as client:
        for sent, status in (
            ([mine], 200),
            ([thiefs], 401),
            ([], 401),
            ([mine, mine], 401),
            ([mine, thiefs], 401),
            ([f"{mine}, {mine}"], 401),
            ([mine.strip(":")], 401),
            (["::"], 401),
            ([mine], 200),
        ):
            fields = [("Client-Cert", value) for value in sent]
            assert client.request("GET", "/thing", [*fields, ("Client-Cert-Chain", mine)]).status == status
        assert client.request("GET", "/thing", [("Client_Cert", mine)]).status == 401
        assert client.request("GET", "/public/thing", [("Client-Cert", mine), ("client_cert", mine)]).status == 200
    assert len(app.requests) == 3
    assert [name for head in app.requests for name, _ in head.headers if b"cert" in name.lower()] == []


@pytest.mark.parametrize(
    "forwarding",
    [{}, {"trusted_proxies": ["127.0.0.1"]}, {"trusted_proxies": ["192.0.2.1"], "client_cert": True}],
    ids=["nobody is trusted", "the field is not", "another is trusted"],
)
def test_a_certificate_that_a_client_claims_is_not_its_own(
    server: Server, app: Upstream, certificates: dict[str, bytes], forwarding: dict[str, object]
) -> None:
    """A certificate is no secret: whoever stole the token has it too."""
    app.requests.clear()
    claimed = [("Client-Cert", written(certificates["client.example"]))]
    with (
        enforcer(config(app.url, server.port, forwarding=forwarding)) as process,
        Client(process.port, token="client") as client,
    ):
        assert client.request("GET", "/thing", claimed).status == 401
        assert client.request("GET", "/public/thing", claimed).status == 200
    assert [name for head in app.requests for name, _ in head.headers if b"cert" in name.lower()] == []


def test_a_trusted_proxys_own_certificate_is_nobodys(authority: Authority, server: Server, app: Upstream) -> None:
    """A thief of the proxy's token would otherwise use it through the proxy."""
    certificate, private = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(private), "client_ca": str(authority.ca)}
    forwarding = {"trusted_proxies": ["127.0.0.1"], "client_cert": True}
    with (
        enforcer(config(app.url, server.port, listener={"tls": tls}, forwarding=forwarding)) as process,
        Client(process.port, token="proxy", tls=showing(authority, "proxy.example")) as client,
    ):
        assert client.request("GET", "/thing").status == 401
        client.token = "unbound"
        assert client.request("GET", "/thing").status == 200


# Keys


@pytest.fixture(scope="module")
def proxy(server: Server, app: Upstream) -> Iterator[Enforcer]:
    with enforcer(config(app.url, server.port)) as process:
        yield process


class Holder:
    """Sends requests with a token and the proofs of a key."""

    def __init__(self, process: Enforcer, token: str = "keyed", *, private: Any = MINE) -> None:
        self._client = Client(process.port, token=None)
        self._private = private
        self.origin = f"http://{self._client.host}"
        self.token = token

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def prove(self, method: str = "GET", path: str = "/thing", **changes: Any) -> str:
        """Write a proof for a request."""
        url = changes.pop("url", self.origin + path)
        return proof(changes.pop("private", self._private), changes.pop("token", self.token), method, url, **changes)

    def send(
        self, *proofs: str, method: str = "GET", path: str = "/thing", scheme: str = "DPoP", more: Headers = ()
    ) -> Response:
        """Send a request with the proofs."""
        fields = [("Authorization", f"{scheme} {self.token}"), *(("DPoP", one) for one in proofs), *more]
        return self._client.request(method, path, fields)


def test_each_proof_is_good_for_its_request_once_and_the_token_is_asked_about_once(
    proxy: Enforcer, app: Upstream, server: Server
) -> None:
    """RFC 9449 §4.3, §11.1: the answer is remembered, the verdict is not. The app gets what its client sent."""
    app.requests.clear()
    before = len(server.requests)
    with Holder(proxy) as holder:
        shown = [holder.prove(), holder.prove("POST", "/other/%7Ething?x=1"), holder.prove("HEAD")]
        assert holder.send(shown[0]).status == 200
        assert holder.send(shown[1], method="POST", path="/other/~thing?x=2").status == 200
        assert holder.send(shown[2], method="HEAD").status == 200
        for used in shown[:1] * 2:
            answer = holder.send(used)
            assert (answer.status, answer.values("WWW-Authenticate")) == (401, WRONG_PROOF)
            assert "used before" in detail(answer)
    assert len(server.requests) - before <= 1
    assert [field(head, "dpop") for head in app.requests] == [[one.encode()] for one in shown]
    assert [field(head, "authorization") for head in app.requests] == [[b"DPoP keyed"]] * 3
    assert [field(head, "x-auth-subject") for head in app.requests] == [[b"alice"]] * 3


WRONG: dict[str, tuple[Callable[[Holder], list[str]], list[bytes], str]] = {
    "no proof": (lambda holder: [], WRONG_PROOF, "needs a DPoP field"),
    "two proofs": (lambda holder: [holder.prove(), holder.prove()], WRONG_PROOF, "several"),
    "another key": (lambda holder: [holder.prove(private=THIEFS)], WRONG_DPOP_TOKEN, "possession"),
    "the token's key, signed by another": (
        lambda holder: [holder.prove(private=THIEFS, header={"jwk": public(MINE)})],
        WRONG_PROOF,
        "verified",
    ),
    "another method": (lambda holder: [holder.prove("POST")], WRONG_PROOF, "another method"),
    "another path": (lambda holder: [holder.prove(path="/other")], WRONG_PROOF, "another method"),
    "another host": (lambda holder: [holder.prove(url="http://evil.example/thing")], WRONG_PROOF, "another method"),
    "another scheme": (
        lambda holder: [holder.prove(url=holder.origin.replace("http", "https") + "/thing")],
        WRONG_PROOF,
        "another method",
    ),
    "another token": (lambda holder: [holder.prove(token="unbound")], WRONG_PROOF, "another method"),
    "no token": (lambda holder: [holder.prove(ath=None)], WRONG_PROOF, "cannot be read"),
    "an old one": (lambda holder: [holder.prove(iat=1)], WRONG_PROOF, "too old"),
    "a private key": (lambda holder: [holder.prove(header={"jwk": MINE.as_dict(private=True)})], WRONG_PROOF, "read"),
    "alg none": (lambda holder: [holder.prove(header={"alg": "none"})], WRONG_PROOF, "read"),
    "alg HS256": (lambda holder: [holder.prove(header={"alg": "HS256"})], WRONG_PROOF, "read"),
    "another type": (lambda holder: [holder.prove(header={"typ": "JWT"})], WRONG_PROOF, "read"),
    "a huge one": (lambda holder: [holder.prove(x="x" * 8192)], WRONG_PROOF, "read"),
    "no JWS": (lambda holder: ["x"], WRONG_PROOF, "read"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_proof_that_does_not_prove_is_refused(proxy: Enforcer, app: Upstream, wrong: str) -> None:
    """RFC 9449 §4.3, §7.1: with what was wrong, and the algorithms that would do; the app sees nothing of it."""
    app.requests.clear()
    shown, challenges, why = WRONG[wrong]
    with Holder(proxy) as holder:
        answer = holder.send(*shown(holder))
        assert (answer.status, answer.values("WWW-Authenticate")) == (401, challenges)
        assert why in detail(answer)
        assert holder.send(holder.prove()).status == 200
    assert len(app.requests) == 1


def test_a_token_that_is_bound_to_a_key_is_no_bearer_token(proxy: Enforcer) -> None:
    """RFC 9449 §7.2: not even with a good proof."""
    with Holder(proxy) as holder:
        for shown in ([], [holder.prove()]):
            answer = holder.send(*shown, scheme="Bearer")
            assert (answer.status, answer.values("WWW-Authenticate")) == (401, [WRONG_TOKEN, OFFER])


@pytest.mark.parametrize("token", ["unbound", "odd", "client"])
def test_a_token_that_is_bound_to_no_key_comes_with_no_proof(proxy: Enforcer, token: str) -> None:
    """RFC 9449 §7.1: the proof's key must be the token's."""
    with Holder(proxy, token) as holder:
        for _ in range(2):
            answer = holder.send(holder.prove())
            assert (answer.status, answer.values("WWW-Authenticate")) == (401, WRONG_DPOP_TOKEN)


@pytest.mark.parametrize(
    ("token", "status", "challenges"),
    [
        ("unknown", 401, WRONG_DPOP_TOKEN),
        ("tok!en", 401, WRONG_DPOP_TOKEN),
        ("keyed-elsewhere", 403, [f'DPoP error="insufficient_scope", scope="read", {ALGORITHMS}'.encode()]),
        ("a b", 400, [f'DPoP error="invalid_request", {ALGORITHMS}'.encode()]),
        ("x" * 8193, 431, []),
    ],
)
def test_whatever_else_is_wrong_is_told_in_the_scheme_that_came(
    proxy: Enforcer, token: str, status: int, challenges: list[bytes]
) -> None:
    """As RFC 6750 §3.1 has it for Bearer."""
    with Holder(proxy, token) as holder:
        answer = holder.send(holder.prove())
        assert (answer.status, answer.values("WWW-Authenticate")) == (status, challenges)


def test_on_a_public_rule_nothing_is_looked_at(proxy: Enforcer, app: Upstream, server: Server) -> None:
    """Token and proof go on as they came."""
    app.requests.clear()
    before = len(server.requests)
    with Holder(proxy) as holder:
        assert holder.send("nonsense", "twice", path="/public/thing").status == 200
    assert len(server.requests) == before
    assert field(app.requests[0], "dpop") == [b"nonsense", b"twice"]


@pytest.fixture(scope="module")
def silent(server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer behind a proxy, that offers DPoP, keeps the token from the app and remembers three proofs."""
    forwarding = {"trusted_proxies": ["127.0.0.1"], "authorization": "remove"}
    with enforcer(
        config(app.url, server.port, forwarding=forwarding, dpop={"challenge": True, "replays": 3})
    ) as process:
        yield process


def test_where_no_more_proofs_can_be_remembered_it_is_our_fault(silent: Enforcer, app: Upstream) -> None:
    """503 and not 401, lest the client throw its token away. Behind a proxy the URL is that of its client."""
    app.requests.clear()
    with Holder(silent) as holder:
        assert holder.send(holder.prove()).status == 200
        said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example")]
        assert holder.send(holder.prove(), more=said).status == 401
        assert holder.send(holder.prove(url="https://api.example/thing"), more=said).status == 200
        secured = holder.origin.replace("http", "https")
        assert holder.send(holder.prove(url=secured + "/thing"), more=said[:1]).status == 200
        answer = holder.send(holder.prove())
        assert (answer.status, answer.values("WWW-Authenticate"), answer.values("Retry-After")) == (503, [], [b"1"])
    assert metric(silent, "enforcer_proofs_remembered") == 3
    assert len(app.requests) == 3
    assert [value for head in app.requests for value in (*field(head, "dpop"), *field(head, "authorization"))] == []


def test_where_dpop_is_offered_a_401_offers_it(silent: Enforcer) -> None:
    """RFC 9449 §7.1: each scheme in a field of its own."""
    for token, first in ((None, b"Bearer"), ("unknown", WRONG_TOKEN)):
        with Client(silent.port, token=token) as client:
            answer = client.request("GET", "/thing")
            assert (answer.status, answer.values("WWW-Authenticate")) == (401, [first, OFFER])


def test_of_wrong_signatures_an_address_may_send_no_more_than_of_unseen_tokens(server: Server, app: Upstream) -> None:
    """429 without a look at it; the address is that of the client behind a trusted proxy, and others are served."""
    settings: dict[str, Any] = {
        "forwarding": {"trusted_proxies": ["127.0.0.1"]},
        "limits": {"unseen_tokens": {"rate": 1, "burst": 9}},
    }
    with enforcer(config(app.url, server.port, **settings)) as process, Holder(process) as holder:

        def send(address: str, **changes: Any) -> Response:
            return holder.send(holder.prove(**changes), more=[("X-Forwarded-For", address)])

        forged = {"private": THIEFS, "header": {"jwk": public(MINE)}}
        found = [send("192.0.2.1", **forged) for _ in range(30)]
        statuses = [answer.status for answer in found]
        assert statuses[:9] == [401] * 9
        assert set(statuses[9:]) <= {401, 429}
        assert statuses[9:].count(429) > 10
        limited = found[statuses.index(429)]
        assert (limited.values("Retry-After"), limited.values("WWW-Authenticate")) == ([b"1"], [])
        assert send("192.0.2.2").status == 200


def test_what_anybody_says_of_the_url_does_not_count(proxy: Enforcer) -> None:
    """A proof for another host, stolen there, would be good here."""
    said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example"), ("Forwarded", "host=api.example")]
    with Holder(proxy) as holder:
        assert holder.send(holder.prove(url="https://api.example/thing"), more=said).status == 401
        assert holder.send(holder.prove(), more=said).status == 200


def test_cryptography_is_loaded_with_the_first_proof(server: Server, app: Upstream) -> None:
    """Whoever has no bound tokens does not pay for it: not for the scheme, nor for a token that is worth nothing."""

    def loaded(process: Enforcer) -> bool:
        return "cryptography" in Path(f"/proc/{process.process.pid}/maps").read_text()

    with enforcer(config(app.url, server.port)) as process:
        for token in ("unbound", "unknown"):
            with Holder(process, token) as holder:
                assert holder.send(holder.prove()).status == 401
        with Client(process.port, token="keyed") as client:
            assert client.request("GET", "/thing").status == 401
        assert not loaded(process)
        with Holder(process) as holder:
            assert holder.send(holder.prove()).status == 200
        assert loaded(process)
