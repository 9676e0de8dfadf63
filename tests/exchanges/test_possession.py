"""Sender-constrained tokens, bound to a certificate (RFC 8705) or a key (RFC 9449): useless to a thief."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import signing
from harness.certificates import Authority
from harness.clients import Client, Response
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.signing import key, public
from harness.upstreams import Headers, PeerClosedError, Upstream, upstream
from harness.usage import metric

from enforcer.tokens.jwt.jws import sha256_base64url

OWN_KEY, OTHER_KEY = key("ES256", 1), key("ES256", 2)
ALGORITHMS = 'algs="RS256 PS256 ES256 EdDSA"'
DPOP_CHALLENGE = f"DPoP {ALGORITHMS}".encode()
WRONG_TOKEN = b'Bearer error="invalid_token"'
WRONG_DPOP_TOKEN = [f'DPoP error="invalid_token", {ALGORITHMS}'.encode(), b"Bearer"]
WRONG_PROOF = [f'DPoP error="invalid_dpop_proof", {ALGORITHMS}'.encode(), b"Bearer"]

TOKENS: dict[str, dict[str, object]] = {
    "unbound": {"scope": "read", "sub": "alice"},
    "keyed": {"scope": "read", "sub": "alice", "cnf": {"jkt": OWN_KEY.thumbprint()}},
    "keyed-elsewhere": {"scope": "other", "cnf": {"jkt": OWN_KEY.thumbprint()}},
    "unknown-binding": {"scope": "read", "cnf": {"kid": "x"}},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, bytes]:
    """The DER certificates of three clients; their files are in the authority's folder."""
    names = ("client.example", "thief.example", "proxy.example")
    return {name: ssl.PEM_cert_to_DER_cert(authority.issue(name)[0].read_text()) for name in names}


@pytest.fixture(scope="module")
def server(certificates: dict[str, bytes]) -> Iterator[Server]:
    certified = {
        name.partition(".")[0]: {"scope": "read", "cnf": {"x5t#S256": sha256_base64url(certificate)}}
        for name, certificate in certificates.items()
    }
    with introspection_server({**TOKENS, **certified}) as running:
        yield running


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


def field_values(head: Any, name: str) -> list[bytes]:
    """Return the values of a forwarded field, in any spelling."""
    return [
        value for field_name, value in head.headers if field_name.lower().replace(b"_", b"-") == name.lower().encode()
    ]


def detail(response: Response) -> str:
    return str(json.loads(response.body)["detail"])


# Certificates


@pytest.fixture(scope="module")
def mutual_tls(authority: Authority, server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that requests client certificates, and also serves clients without one."""
    certificate, private = authority.issue("localhost")
    tls = {
        "certificate": str(certificate),
        "key": str(private),
        "client_ca": str(authority.ca),
        "client_certificate": "optional",
    }
    with enforcer(config(app.url, server.port, listener={"tls": tls})) as process:
        yield process


def client_context(authority: Authority, name: str | None) -> ssl.SSLContext:
    """Return the TLS context of a client that presents the certificate of a name."""
    context = authority.client_context()
    if name is not None:
        folder = Path(authority.ca).parent
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.mark.parametrize(
    ("token", "certificate", "status"),
    [
        ("client", "client.example", 200),
        ("client", "thief.example", 401),
        ("client", None, 401),
        ("thief", "client.example", 401),
        ("unknown-binding", "client.example", 401),
        ("keyed", "client.example", 401),
        ("unbound", "client.example", 200),
        ("unbound", None, 200),
    ],
)
def test_a_certificate_bound_token_needs_its_certificate(
    mutual_tls: Enforcer, authority: Authority, token: str, certificate: str | None, status: int
) -> None:
    """RFC 8705 §3: on every request of a connection; an unbound token needs no certificate."""
    with Client(mutual_tls.port, token=token, tls=client_context(authority, certificate)) as client:
        for _ in range(3):
            response = client.request("GET", "/thing")
            assert response.status == status
            expected = [] if status == 200 else [WRONG_TOKEN, DPOP_CHALLENGE] if token == "keyed" else [WRONG_TOKEN]
            assert response.values("WWW-Authenticate") == expected


def test_a_resumed_session_has_the_certificate_of_its_beginning(mutual_tls: Enforcer, authority: Authority) -> None:
    """TLS 1.3 sends no certificate on resumption: the session's certificate counts."""
    context = client_context(authority, "client.example")
    with Client(mutual_tls.port, token="client", tls=context) as first:
        assert first.request("GET", "/thing").status == 200
        assert isinstance(first.socket, ssl.SSLSocket)
        session = first.socket.session
    with Client(mutual_tls.port, token="client", tls=context, session=session) as again:
        assert isinstance(again.socket, ssl.SSLSocket)
        assert again.socket.session_reused
        assert again.request("GET", "/thing").status == 200
        again.token = "thief"
        assert again.request("GET", "/thing").status == 401


def test_a_certificate_of_an_unknown_authority_is_refused_although_none_is_required(
    mutual_tls: Enforcer, authority: Authority, tmp_path: Path
) -> None:
    """Anybody can make one."""
    stranger = Authority(tmp_path)
    context = authority.client_context()
    context.load_cert_chain(*stranger.issue("client.example"))
    with (
        pytest.raises((ssl.SSLError, ConnectionError, PeerClosedError)),
        Client(mutual_tls.port, token="unbound", tls=context) as client,
    ):
        client.request("GET", "/thing")


# Certificates behind a proxy that ends TLS (RFC 9440)


@pytest.fixture(scope="module")
def behind_proxy(server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that trusts its proxy's Client-Cert field."""
    forwarding = {"trusted_proxies": ["127.0.0.1"], "client_cert": True}
    with enforcer(config(app.url, server.port, forwarding=forwarding)) as process:
        yield process


def client_cert(certificate: bytes) -> str:
    """Return the value of a Client-Cert field (RFC 9440 §2.2)."""
    return f":{base64.b64encode(certificate).decode()}:"


def test_a_trusted_proxy_forwards_the_clients_certificate(
    behind_proxy: Enforcer, app: Upstream, certificates: dict[str, bytes]
) -> None:
    """RFC 9440 §2: exactly one valid field counts, and the app never gets it."""
    app.requests.clear()
    own, other = client_cert(certificates["client.example"]), client_cert(certificates["thief.example"])
    with Client(behind_proxy.port, token="client") as client:
        for sent, status in (
            ([own], 200),
            ([other], 401),
            ([], 401),
            ([own, own], 401),
            ([own, other], 401),
            ([f"{own}, {own}"], 401),
            ([own.strip(":")], 401),
            (["::"], 401),
            ([own], 200),
        ):
            fields = [("Client-Cert", value) for value in sent]
            assert client.request("GET", "/thing", [*fields, ("Client-Cert-Chain", own)]).status == status
        assert client.request("GET", "/thing", [("Client_Cert", own)]).status == 401
        assert client.request("GET", "/public/thing", [("Client-Cert", own), ("client_cert", own)]).status == 200
    assert len(app.requests) == 3
    assert [name for head in app.requests for name, _ in head.headers if b"cert" in name.lower()] == []


@pytest.mark.parametrize(
    "forwarding",
    [{}, {"trusted_proxies": ["127.0.0.1"]}, {"trusted_proxies": ["192.0.2.1"], "client_cert": True}],
    ids=["no trusted proxy", "the field is not trusted", "another trusted proxy"],
)
def test_a_client_cert_field_of_an_untrusted_client_is_ignored(
    server: Server, app: Upstream, certificates: dict[str, bytes], forwarding: dict[str, object]
) -> None:
    """A certificate is not a secret: a thief of the token has it too."""
    app.requests.clear()
    fields = [("Client-Cert", client_cert(certificates["client.example"]))]
    with (
        enforcer(config(app.url, server.port, forwarding=forwarding)) as process,
        Client(process.port, token="client") as client,
    ):
        assert client.request("GET", "/thing", fields).status == 401
        assert client.request("GET", "/public/thing", fields).status == 200
    assert [name for head in app.requests for name, _ in head.headers if b"cert" in name.lower()] == []


def test_a_trusted_proxys_own_certificate_does_not_count(authority: Authority, server: Server, app: Upstream) -> None:
    """Otherwise a thief of the proxy's token could use it through the proxy."""
    certificate, private = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(private), "client_ca": str(authority.ca)}
    forwarding = {"trusted_proxies": ["127.0.0.1"], "client_cert": True}
    with (
        enforcer(config(app.url, server.port, listener={"tls": tls}, forwarding=forwarding)) as process,
        Client(process.port, token="proxy", tls=client_context(authority, "proxy.example")) as client,
    ):
        assert client.request("GET", "/thing").status == 401
        client.token = "unbound"
        assert client.request("GET", "/thing").status == 200


# Keys


@pytest.fixture(scope="module")
def proxy(server: Server, app: Upstream) -> Iterator[Enforcer]:
    with enforcer(config(app.url, server.port)) as process:
        yield process


class DpopClient:
    """Sends requests with a token and the DPoP proofs of a key."""

    def __init__(self, process: Enforcer, token: str = "keyed", *, private: Any = OWN_KEY) -> None:
        self._client = Client(process.port, token=None)
        self._private = private
        self.origin = f"http://{self._client.host}"
        self.token = token

    def __enter__(self) -> DpopClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def proof(self, method: str = "GET", path: str = "/thing", **changes: Any) -> str:
        """Return a proof for a request."""
        url = changes.pop("url", self.origin + path)
        return signing.proof(
            changes.pop("private", self._private), changes.pop("token", self.token), method, url, **changes
        )

    def send(
        self,
        *proofs: str,
        method: str = "GET",
        path: str = "/thing",
        scheme: str = "DPoP",
        fields: Headers = (),
        host: str = "",
    ) -> Response:
        """Send a request with these proofs; `host` names the enforcer in place of its address."""
        self._client.host = host or self._client.host
        own_fields = [("Authorization", f"{scheme} {self.token}"), *(("DPoP", value) for value in proofs)]
        return self._client.request(method, path, [*own_fields, *fields])


def test_each_proof_is_valid_once_for_its_request_and_the_token_is_introspected_once(
    proxy: Enforcer, app: Upstream, server: Server
) -> None:
    """RFC 9449 §4.3, §11.1: the introspection response is cached, the decision is not; both fields are forwarded."""
    app.requests.clear()
    before = len(server.lookups)
    with DpopClient(proxy) as holder:
        proofs = [holder.proof(), holder.proof("POST", "/other/%7Ething?x=1"), holder.proof("HEAD")]
        assert holder.send(proofs[0]).status == 200
        assert holder.send(proofs[1], method="POST", path="/other/~thing?x=2").status == 200
        assert holder.send(proofs[2], method="HEAD").status == 200
        for used in proofs[:1] * 2:
            response = holder.send(used)
            assert (response.status, response.values("WWW-Authenticate")) == (401, WRONG_PROOF)
            assert "used before" in detail(response)
    assert len(server.lookups) - before <= 1
    assert [field_values(head, "dpop") for head in app.requests] == [[value.encode()] for value in proofs]
    assert [field_values(head, "authorization") for head in app.requests] == [[b"DPoP keyed"]] * 3
    assert [field_values(head, "x-auth-subject") for head in app.requests] == [[b"alice"]] * 3


INVALID: dict[str, tuple[Callable[[DpopClient], list[str]], list[bytes], str]] = {
    "no proof": (lambda holder: [], WRONG_PROOF, "needs a DPoP field"),
    "two proofs": (lambda holder: [holder.proof(), holder.proof()], WRONG_PROOF, "several"),
    "another key": (lambda holder: [holder.proof(private=OTHER_KEY)], WRONG_DPOP_TOKEN, "possession"),
    "the token's key, signed by another": (
        lambda holder: [holder.proof(private=OTHER_KEY, header={"jwk": public(OWN_KEY)})],
        WRONG_PROOF,
        "verified",
    ),
    "another method": (lambda holder: [holder.proof("POST")], WRONG_PROOF, "another method"),
    "another path": (lambda holder: [holder.proof(path="/other")], WRONG_PROOF, "another method"),
    "another host": (lambda holder: [holder.proof(url="http://evil.example/thing")], WRONG_PROOF, "another method"),
    "another scheme": (
        lambda holder: [holder.proof(url=holder.origin.replace("http", "https") + "/thing")],
        WRONG_PROOF,
        "another method",
    ),
    "another token": (lambda holder: [holder.proof(token="unbound")], WRONG_PROOF, "another method"),
    "no token": (lambda holder: [holder.proof(ath=None)], WRONG_PROOF, "cannot be read"),
    "an old one": (lambda holder: [holder.proof(iat=1)], WRONG_PROOF, "too old"),
    "a private key": (
        lambda holder: [holder.proof(header={"jwk": OWN_KEY.as_dict(private=True)})],
        WRONG_PROOF,
        "read",
    ),
    "alg none": (lambda holder: [holder.proof(header={"alg": "none"})], WRONG_PROOF, "read"),
    "alg HS256": (lambda holder: [holder.proof(header={"alg": "HS256"})], WRONG_PROOF, "read"),
    "another type": (lambda holder: [holder.proof(header={"typ": "JWT"})], WRONG_PROOF, "read"),
    "a huge one": (lambda holder: [holder.proof(x="x" * 8192)], WRONG_PROOF, "read"),
    "no JWS": (lambda holder: ["x"], WRONG_PROOF, "read"),
}


@pytest.mark.parametrize("wrong", INVALID)
def test_an_invalid_proof_is_refused(proxy: Enforcer, app: Upstream, wrong: str) -> None:
    """RFC 9449 §4.3, §7.1: the refusal names the error and the accepted algorithms; nothing reaches the app."""
    app.requests.clear()
    make_proofs, challenges, reason = INVALID[wrong]
    with DpopClient(proxy) as holder:
        response = holder.send(*make_proofs(holder))
        assert (response.status, response.values("WWW-Authenticate")) == (401, challenges)
        assert reason in detail(response)
        assert holder.send(holder.proof()).status == 200
    assert len(app.requests) == 1


def test_a_key_bound_token_is_not_a_bearer_token(proxy: Enforcer) -> None:
    """RFC 9449 §7.2: not even with a valid proof."""
    with DpopClient(proxy) as holder:
        for proofs in ([], [holder.proof()]):
            response = holder.send(*proofs, scheme="Bearer")
            assert (response.status, response.values("WWW-Authenticate")) == (401, [WRONG_TOKEN, DPOP_CHALLENGE])


@pytest.mark.parametrize("token", ["unbound", "unknown-binding", "client"])
def test_the_dpop_scheme_needs_a_key_bound_token(proxy: Enforcer, token: str) -> None:
    """RFC 9449 §7.1: the proof's key must be the token's."""
    with DpopClient(proxy, token) as holder:
        for _ in range(2):
            response = holder.send(holder.proof())
            assert (response.status, response.values("WWW-Authenticate")) == (401, WRONG_DPOP_TOKEN)


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
def test_other_errors_are_reported_in_the_scheme_of_the_request(
    proxy: Enforcer, token: str, status: int, challenges: list[bytes]
) -> None:
    """As RFC 6750 §3.1 defines for Bearer."""
    with DpopClient(proxy, token) as holder:
        response = holder.send(holder.proof())
        assert (response.status, response.values("WWW-Authenticate")) == (status, challenges)


def test_on_a_public_rule_nothing_is_checked(proxy: Enforcer, app: Upstream, server: Server) -> None:
    """Token and proofs are forwarded unchecked."""
    app.requests.clear()
    before = len(server.lookups)
    with DpopClient(proxy) as holder:
        assert holder.send("nonsense", "twice", path="/public/thing").status == 200
    assert len(server.lookups) == before
    assert field_values(app.requests[0], "dpop") == [b"nonsense", b"twice"]


@pytest.fixture(scope="module")
def silent(server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer behind a proxy that offers DPoP, removes Authorization, and remembers three proofs."""
    forwarding = {"trusted_proxies": ["127.0.0.1"], "authorization": "remove"}
    dpop = {"challenge": True, "replays": 3, "origins": ["https://api.example", "https://shop.example"]}
    with enforcer(config(app.url, server.port, forwarding=forwarding, dpop=dpop)) as process:
        yield process


API = "https://api.example/thing"


def test_a_full_replay_cache_is_a_503(silent: Enforcer, app: Upstream) -> None:
    """503 and not 401, so that the client keeps its token."""
    app.requests.clear()
    with DpopClient(silent) as holder:
        for _ in range(3):
            assert holder.send(holder.proof(url=API)).status == 200
        response = holder.send(holder.proof(url=API))
        assert (response.status, response.values("WWW-Authenticate"), response.values("Retry-After")) == (
            503,
            [],
            [b"1"],
        )
    assert metric(silent, "enforcer_proofs_remembered") == 3
    assert len(app.requests) == 3
    assert [
        value for head in app.requests for value in (*field_values(head, "dpop"), *field_values(head, "authorization"))
    ] == []


@pytest.fixture(scope="module")
def named(server: Server, app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that knows its origins, behind a proxy."""
    dpop = {"origins": ["https://api.example", "https://shop.example"]}
    forwarding = {"trusted_proxies": ["127.0.0.1"]}
    with enforcer(config(app.url, server.port, forwarding=forwarding, dpop=dpop)) as process:
        yield process


@pytest.mark.parametrize(
    ("url", "host", "forwarded", "status"),
    [
        (API, "api.example", "", 200),
        (API, "internal.example", "", 200),
        (API, "internal.example", "api.example", 200),
        (API, "shop.example", "", 401),
        (API, "internal.example", "shop.example", 401),
        (API, "shop.example.:8443", "", 401),
        (API.replace("https", "http"), "api.example", "", 401),
        ("https://evil.example/thing", "evil.example", "", 401),
        ("https://evil.example/thing", "api.example", "evil.example", 401),
        ("https://evil.example/thing", "evil.example", "evil.example", 401),
        ("https://localhost/thing", "localhost", "localhost", 401),
        ("httpſ://api.example/thing", "api.example", "", 401),
    ],
)
def test_a_proof_must_be_for_an_origin_of_the_enforcer_whatever_host_says(
    named: Enforcer, url: str, host: str, forwarded: str, status: int
) -> None:
    """RFC 9449 §4.3, §11.1: another server that got it could name itself in Host, and behind a proxy it could too."""
    fields = [("X-Forwarded-Proto", "https"), *([("X-Forwarded-Host", forwarded)] if forwarded else [])]
    with DpopClient(named) as holder:
        assert holder.send(holder.proof(url=url), fields=fields, host=host).status == status


@pytest.mark.parametrize("host", ["api.example", "evil.example"])
def test_without_configured_origins_a_proof_must_be_for_this_machine(proxy: Enforcer, host: str) -> None:
    """The enforcer cannot know whether it or another server is called so."""
    with DpopClient(proxy) as holder:
        assert holder.send(holder.proof()).status == 200
        assert holder.send(holder.proof(url=f"http://{host}/thing"), host=host).status == 401


def test_a_401_offers_dpop_if_configured(silent: Enforcer) -> None:
    """RFC 9449 §7.1: each scheme in a field of its own."""
    for token, challenge in ((None, b"Bearer"), ("unknown", WRONG_TOKEN)):
        with Client(silent.port, token=token) as client:
            response = client.request("GET", "/thing")
            assert (response.status, response.values("WWW-Authenticate")) == (401, [challenge, DPOP_CHALLENGE])


def test_the_limit_of_unseen_tokens_covers_invalid_signatures(server: Server, app: Upstream) -> None:
    """429 without verification; the address is the client's behind a trusted proxy, and other clients are served."""
    settings: dict[str, Any] = {
        "forwarding": {"trusted_proxies": ["127.0.0.1"]},
        "limits": {"unseen_tokens": {"rate": 1, "burst": 9}},
    }
    with enforcer(config(app.url, server.port, **settings)) as process, DpopClient(process) as holder:

        def send(address: str, **changes: Any) -> Response:
            return holder.send(holder.proof(**changes), fields=[("X-Forwarded-For", address)])

        forged = {"private": OTHER_KEY, "header": {"jwk": public(OWN_KEY)}}
        responses = [send("192.0.2.1", **forged) for _ in range(30)]
        statuses = [response.status for response in responses]
        assert statuses[:9] == [401] * 9
        assert set(statuses[9:]) <= {401, 429}
        assert statuses[9:].count(429) > 10
        limited = responses[statuses.index(429)]
        assert (limited.values("Retry-After"), limited.values("WWW-Authenticate")) == ([b"1"], [])
        assert send("192.0.2.2").status == 200


def test_forwarding_fields_of_an_untrusted_client_do_not_change_the_url(proxy: Enforcer) -> None:
    """Otherwise a proof stolen at another host would be valid here."""
    forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example"), ("Forwarded", "host=api.example")]
    with DpopClient(proxy) as holder:
        assert holder.send(holder.proof(url="https://api.example/thing"), fields=forwarded).status == 401
        assert holder.send(holder.proof(), fields=forwarded).status == 200


def test_cryptography_is_loaded_with_the_first_proof(server: Server, app: Upstream) -> None:
    """Without bound tokens the library is not loaded: neither for the scheme, nor for an inactive token."""

    def loaded(process: Enforcer) -> bool:
        return "cryptography" in Path(f"/proc/{process.process.pid}/maps").read_text()

    with enforcer(config(app.url, server.port)) as process:
        for token in ("unbound", "unknown"):
            with DpopClient(process, token) as holder:
                assert holder.send(holder.proof()).status == 401
        with Client(process.port, token="keyed") as client:
            assert client.request("GET", "/thing").status == 401
        assert not loaded(process)
        with DpopClient(process) as holder:
            assert holder.send(holder.proof()).status == 200
        assert loaded(process)
