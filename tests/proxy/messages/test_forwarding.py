import re
from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.policy.decision import Allow, decide
from enforcer.policy.request_view import NO_REQUEST
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Path
from enforcer.proxy.messages.forwarding import (
    NOT_READ,
    FieldKinds,
    Forwarding,
    permitted_trailers,
    request_head,
    without_listed,
)
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.tokens.claims import read_claims
from enforcer.wire.fields import FOLD, FieldKind, parse_tokens

IDENTITY = {"X-Auth-Subject": "sub", "X-Auth-Client": "client_id", "X-Auth-Scope": "scope"}
KINDS = FieldKinds(IDENTITY)


def forwarding(**settings: Any) -> Forwarding:
    return Forwarding(ForwardingSettings(**settings))


def lines(*fields: tuple[bytes, bytes]) -> list[bytes]:
    return [piece for name, value in fields for piece in (name, b": ", value, b"\r\n")]


def names(pieces: list[bytes]) -> list[bytes]:
    return pieces[::4]


def permit(**claims: Any) -> Allow:
    rule = Requirement(Rule(name="r", path="/**", authenticated=True), Path.parse("/**"))
    verdict = decide(rule, read_claims(claims), NO_REQUEST, 0.0)
    assert isinstance(verdict, Allow)
    return verdict


def spellings(name: str) -> list[bytes]:
    """Write a name as a client may, to get it past a filter and into an app."""
    return [
        spelt.encode() for spelt in (name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "."))
    ]


@pytest.mark.parametrize(
    "name",
    [
        *spellings("X-Auth-Subject"),
        *spellings("X-Auth-Client"),
        *spellings("X-Auth-Scope"),
        b"X_Auth-Subject",
        b"x-auth_SUBJECT",
        b"X~Auth!Subject",
        b"X\xe2Auth-Subject",
    ],
)
def test_an_identity_field_of_the_clients_is_dropped_in_every_spelling(name: bytes) -> None:
    """CVE-2025-64484 oauth2-proxy, CVE-2026-39858 Traefik, CVE-2026-30851 Caddy: whether or not ours is set then."""
    assert KINDS[name] == FieldKind.DROP


@pytest.mark.parametrize(
    "name",
    [
        *spellings("X-Original-URL"),
        *spellings("X-Rewrite-URL"),
        *spellings("X-Original-Method"),
        *spellings("X-Forwarded-User"),
        *spellings("X-Forwarded-Groups"),
        *spellings("X-Forwarded-Email"),
        *spellings("X-Forwarded-Preferred-Username"),
        *spellings("X-Forwarded-Access-Token"),
        *spellings("X-Forwarded-Uri"),
        *spellings("X-Forwarded-Method"),
        *spellings("X-Forwarded-Client-Cert"),
        *spellings("X-Forwarded-Scheme"),
        *spellings("X-Forwarded"),
        *spellings("X-ForwardedFor"),
        *spellings("X-Original-Anything"),
        *spellings("X-Remote-Extra-Roles"),
        *spellings("Remote-Groups"),
        *spellings("X-Real-IP"),
        *spellings("HTTP2-Settings"),
        *spellings("Proxy-Authorization"),
        *spellings("Proxy-Connection"),
        *spellings("Keep-Alive"),
        *spellings("Proxy-Authenticate"),
    ],
)
def test_what_overrides_what_was_judged_or_is_of_one_hop_is_dropped(name: bytes) -> None:
    """CVE-2026-33495 Oathkeeper; RFC 9110 §7.6.1."""
    assert KINDS[name] == FieldKind.DROP


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix"],
)
def test_a_forwarding_field_is_kept_apart_and_dropped_in_other_spellings(name: str) -> None:
    """CVE-2026-33495 Oathkeeper: only a trusted proxy's counts, and only under its own name."""
    assert KINDS[name.encode()] == FieldKind.FORWARDED
    assert KINDS[name.upper().encode()] == FieldKind.FORWARDED
    if "-" in name:
        assert KINDS[name.replace("-", "_").encode()] == FieldKind.DROP
    assert KINDS[b"X_FORWARDED-FOR"] == FieldKind.DROP


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Host", FieldKind.HOST),
        ("Authorization", FieldKind.AUTHORIZATION),
        ("Content-Length", FieldKind.CONTENT_LENGTH),
        ("Transfer-Encoding", FieldKind.TRANSFER_ENCODING),
        ("Connection", FieldKind.CONNECTION),
        ("Upgrade", FieldKind.UPGRADE),
        ("TE", FieldKind.TE),
        ("Expect", FieldKind.EXPECT),
        ("DPoP", FieldKind.PROOF),
        ("Client-Cert", FieldKind.CERTIFICATE),
    ],
)
def test_a_field_that_is_read_is_known_in_any_case_and_dropped_in_other_spellings(name: str, kind: FieldKind) -> None:
    """`Content_Length` frames nothing here, and must frame nothing for an app either."""
    for spelt in (name, name.lower(), name.upper()):
        assert KINDS[spelt.encode()] == kind
    if "-" in name:
        assert KINDS[name.replace("-", "_").encode()] == FieldKind.DROP


@pytest.mark.parametrize(
    "name",
    [
        *("Accept", "User-Agent", "Cookie", "Content-Type", "If-None-Match", "Range", "Via", "Trailer", "traceparent"),
        *("X-Request-ID", "x_request_id", "X-Auth", "X-Auth-Subject-Type", "Authorization-Info", "Sec-WebSocket-Key"),
        *("Access-Control-Request-Headers", "Origin", "Idempotency-Key", "Forwarded-By", "Early-Data"),
    ],
)
def test_any_other_field_passes(name: str) -> None:
    """The app is unmodified, and so is what it is sent."""
    assert KINDS[name.encode()] == FieldKind.PASS


_NAMES = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from(
        ["X-Auth-Subject", "Content-Length", "X-Forwarded-For", "Forwarded", "Client-Cert", "Upgrade", "Accept"]
    ).flatmap(
        lambda name: st.lists(st.sampled_from(["-", "_", ".", "~"]), min_size=4, max_size=4).map(
            lambda signs: "".join(
                sign if one == "-" else one for one, sign in zip(name, signs * 5, strict=False)
            ).encode()
        )
    ),
)


@given(_NAMES, st.booleans())
def test_nothing_passes_that_an_app_may_take_for_a_field_of_ours(name: bytes, upper: bool) -> None:
    """For any bytes as a name, and the same whichever time it is looked up."""
    spelt = name.upper() if upper else name
    kinds = FieldKinds(IDENTITY)
    kind = kinds[spelt]
    assert kinds[spelt] == kind
    folded = spelt.translate(FOLD)
    if kind == FieldKind.PASS:
        assert not folded.startswith((b"x-forwarded", b"x-auth-subject ", b"x-original-", b"x-remote-"))
        assert folded not in (b"x-auth-subject", b"x-auth-client", b"x-auth-scope", b"content-length", b"forwarded")
        assert folded not in (b"transfer-encoding", b"connection", b"upgrade", b"host", b"authorization", b"te")
        assert folded not in (b"dpop", b"client-cert", b"client-cert-chain")
    if kind not in (FieldKind.PASS, FieldKind.DROP):
        assert spelt.lower() == folded


def test_the_names_that_are_remembered_are_bounded() -> None:
    """Random names take no memory, and are classified all the same."""
    kinds = FieldKinds(IDENTITY)
    for number in range(5000):
        assert kinds[b"x-random-%d" % number] == FieldKind.PASS
        assert kinds[b"x" * 1000 + b"%d" % number] == FieldKind.PASS
    assert len(kinds) <= 2048
    assert max(map(len, kinds)) <= 64
    assert kinds[b"X_AUTH-SUBJECT"] == FieldKind.DROP


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (
            {"sub": "alice", "client_id": "app", "scope": "read write"},
            b"X-Auth-Subject: alice\r\nX-Auth-Client: app\r\nX-Auth-Scope: read write\r\n",
        ),
        ({"scope": ["write", "read"]}, b"X-Auth-Scope: read write\r\n"),
        ({}, b""),
        ({"sub": None}, b""),
        ({"sub": ""}, b"X-Auth-Subject: \r\n"),
        pytest.param(
            {"sub": "a\r\nX-Auth-Scope: admin"},
            b"X-Auth-Subject: a%0D%0AX-Auth-Scope: admin\r\n",
            id="CVE-2020-7695 uvicorn",
        ),
    ],
)
def test_the_identity_fields_carry_the_tokens_claims(claims: dict[str, Any], expected: bytes) -> None:
    """CVE-2026-30851 Caddy: a claim that is not there makes no field."""
    assert forwarding().identity_fields(read_claims(claims)) == expected


@pytest.mark.parametrize("name", ["realm_access.roles", "/realm_access/roles"])
@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"realm_access": {"roles": ["a", "b"]}}, b"X-Roles: a,b\r\n"),
        ({"realm_access": {"roles": []}}, b""),
        ({"realm_access": {}}, b""),
        ({"realm_access": "roles"}, b""),
        ({}, b""),
    ],
)
def test_a_nested_claim_is_named_as_in_rules(name: str, claims: dict[str, Any], expected: bytes) -> None:
    """A name that a rule finds a claim by must not find nothing for the app."""
    assert forwarding(identity={"X-Roles": name}).identity_fields(read_claims(claims)) == expected


def test_a_claim_whose_name_has_a_dot_precedes_a_nested_one() -> None:
    """As for rules."""
    claims = {"a.b": "literal", "a": {"b": "nested"}}
    assert forwarding(identity={"X-A": "a.b"}).identity_fields(read_claims(claims)) == b"X-A: literal\r\n"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _JSON))
@example({"a": "\x1b[2J\r\n\r\nGET /admin", "b": "\ud800", "c": "é"})
def test_whatever_a_token_claims_the_identity_is_whole_lines_of_ours(claims: dict[str, Any]) -> None:
    """CVE-2020-7695 uvicorn: strangers write claims. One line for each that is there, under our name, in ASCII."""
    written = forwarding(identity={"X-A": "a", "X-B": "b", "X-C": "c"}).identity_fields(read_claims(claims))
    expected = [f"X-{name.upper()}".encode() for name in "abc" if claims.get(name) not in (None, [])]
    matches = re.findall(rb"([^:\r\n]+): ([ -~]*)\r\n", written)
    assert [name for name, _ in matches] == expected
    assert b"".join(b"%b: %b\r\n" % field for field in matches) == written


TRUSTED = ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("192.0.2.1", True),
        ("2001:db8::5", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("192.0.2.2", False),
        ("2001:db9::1", False),
        ("::ffff:11.0.0.1", False),
        ("::10.1.2.3", False),
        ("unknown", False),
        ("", False),
        ("10.1.2.3:80", False),
        ("010.1.2.3", False),
        ("10.1", False),
    ],
)
def test_a_peer_is_trusted_by_its_address_alone(address: str, expected: bool) -> None:
    """Also where a socket for both families shows an IPv4 address as an IPv6 one."""
    assert forwarding(trusted_proxies=TRUSTED).trusts(address) == expected
    assert not forwarding().trusts(address)


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1", b"10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"10.9.9.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"198.51.100.1, unknown"], "unknown"),
        ("10.0.0.1", [b"198.51.100.1, "], "198.51.100.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, chain: list[bytes], client: str) -> None:
    """Any client may have written the entries to the left of it."""
    assert forwarding(trusted_proxies=TRUSTED).client_address(peer, chain) == client


def chain_of(mode: str, address: str = "203.0.113.7", **received: list[bytes]) -> bytes:
    theirs = {name.replace("_", "-").encode(): values for name, values in received.items()}
    return forwarding(chain=mode).forwarding_fields(address, "192.0.2.9", "https", b"app.example", theirs)


X_FORWARDED = b"X-Forwarded-For: %b\r\nX-Real-IP: 192.0.2.9\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"


def test_the_upstream_is_told_of_the_client_and_its_way() -> None:
    """Only ours, if the peer is not trusted."""
    assert chain_of("x-forwarded") == X_FORWARDED % (b"203.0.113.7", b"https", b"app.example")
    assert chain_of("none") == b""
    forwarded = b'Forwarded: for=203.0.113.7;proto=https;host="app.example"\r\n'
    assert chain_of("forwarded") == forwarded


def test_via_is_sent_only_if_it_is_wanted() -> None:
    """It turns off the compression of some servers."""
    own = forwarding(chain="none", via=True).forwarding_fields(
        "203.0.113.7", "203.0.113.7", "https", b"app.example", {}
    )
    assert own == b"Via: 1.1 enforcer\r\n"


def test_an_ipv6_address_is_quoted_where_the_grammar_wants_it() -> None:
    """RFC 7239 §6."""
    assert chain_of("forwarded", "2001:db8::1").startswith(b'Forwarded: for="[2001:db8::1]";proto=https;')
    assert chain_of("x-forwarded", "2001:db8::1").startswith(b"X-Forwarded-For: 2001:db8::1\r\n")


def test_a_trusted_proxys_chain_is_added_to() -> None:
    """Its addresses come first, and what it saw of scheme and host stays."""
    written = chain_of("x-forwarded", x_forwarded_for=[b"198.51.100.1", b"10.0.0.2"], x_forwarded_proto=[b"http"])
    assert written == X_FORWARDED % (b"198.51.100.1, 10.0.0.2, 203.0.113.7", b"http", b"app.example")
    written = chain_of("forwarded", forwarded=[b"for=198.51.100.1"], x_forwarded_for=[b"6.6.6.6"])
    assert written.startswith(b"Forwarded: for=198.51.100.1, for=203.0.113.7;")
    assert b"6.6.6.6" not in written


def test_a_chain_of_the_other_kind_is_not_passed_on() -> None:
    """The app would believe it, and nobody has added to it."""
    assert b"6.6.6.6" not in chain_of("x-forwarded", forwarded=[b"for=6.6.6.6"])
    assert b"6.6.6.6" not in chain_of("none", forwarded=[b"for=6.6.6.6"], x_forwarded_for=[b"6.6.6.6"])


def test_port_and_prefix_of_a_trusted_proxy_are_kept() -> None:
    """They have no meaning here, and apps write absolute links with them."""
    written = chain_of("x-forwarded", x_forwarded_prefix=[b"/a"], x_forwarded_port=[b"8443"])
    assert b"x-forwarded-prefix: /a\r\nx-forwarded-port: 8443\r\n" in written


def test_a_field_that_apps_read_a_user_from_can_be_an_identity_field() -> None:
    """Then it is ours: set from the token, and removed from what clients and trusted proxies send."""
    own = forwarding(identity={"X-Forwarded-User": "sub"}, trusted_proxies=("10.0.0.1",))
    token = read_claims({"active": True, "sub": "alice"})
    assert own.identity_fields(token) == b"X-Forwarded-User: alice\r\n"
    assert [own.kinds[name] for name in spellings("X-Forwarded-User")] == [FieldKind.DROP] * 5


def parsed(head: bytes) -> h11.Request:
    """Read a head with another HTTP."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(head)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    return event


def test_a_request_head_is_what_the_client_sent_and_what_is_ours() -> None:
    """The request line's bytes are the client's; then its fields, the chain, the identity and the framing."""
    head = request_head(
        permit(sub="alice"),
        b"POST",
        b"/caf%C3%A9?x=%2e",
        lines((b"Host", b"app.example"), (b"accept", b"*/*")),
        chain_of("none"),
        b"X-Auth-Subject: alice\r\n",
        b"Content-Length: 0\r\n",
    )
    assert head == (
        b"POST /caf%C3%A9?x=%2e HTTP/1.1\r\nHost: app.example\r\naccept: */*\r\n"
        b"X-Auth-Subject: alice\r\nContent-Length: 0\r\n\r\n"
    )
    request = parsed(head)
    assert (request.method, request.target) == (b"POST", b"/caf%C3%A9?x=%2e")


@pytest.mark.parametrize(
    ("options", "permitted"),
    [
        ([b"close"], [b"Host", b"Authorization", b"X-Foo", b"Cookie"]),
        ([b"x-foo"], [b"Host", b"Authorization", b"Cookie"]),
        ([b"X-FOO, cookie"], [b"Host", b"Authorization"]),
        ([b"x-foo", b"Cookie"], [b"Host", b"Authorization"]),
        pytest.param(
            [b"close, X-Auth-Subject, Authorization, Host"],
            [b"Host", b"Authorization", b"X-Foo", b"Cookie"],
            id="CVE-2024-45410 Traefik",
        ),
        ([b""], [b"Host", b"Authorization", b"X-Foo", b"Cookie"]),
    ],
)
def test_a_field_that_connection_lists_goes_unless_it_was_judged_by(
    options: list[bytes], permitted: list[bytes]
) -> None:
    """RFC 9110 §7.6.1; ours are set behind this and cannot be named away."""
    fields = lines((b"Host", b"a"), (b"Authorization", b"Bearer x"), (b"X-Foo", b"1"), (b"Cookie", b"2"))
    assert names(without_listed(fields, parse_tokens(b",".join(options)) or ())) == permitted


def test_trailers_keep_what_may_stand_in_them() -> None:
    """RFC 9110 §6.5.1: nothing that frames, routes, authenticates or identifies."""
    fields = [
        *((b"Content-MD5", b"x"), (b"Server-Timing", b"a;dur=1"), (b"grpc-status", b"0"), (b"X-Checksum", b"1")),
        *((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"), (b"Host", b"b"), (b"Trailer", b"x")),
        *((b"Authorization", b"Bearer x"), (b"Cookie", b"a=b"), (b"Set-Cookie", b"a=b"), (b"Content-Type", b"a/b")),
        *((b"X-Auth-Subject", b"root"), (b"x_auth_subject", b"root"), (b"X-Forwarded-For", b"6.6.6.6")),
        *((b"Connection", b"close"), (b"Upgrade", b"h2c"), (b"TE", b"gzip"), (b"Expect", b"100-continue")),
        *((b"Content-Encoding", b"gzip"), (b"Content-Range", b"bytes 0-1/2"), (b"Cache-Control", b"no-store")),
        *((b"X-Original-URL", b"/admin"), (b"X_HTTP_METHOD_OVERRIDE", b"DELETE"), (b"Max-Forwards", b"0")),
    ]
    permitted = permitted_trailers(lines(*fields), KINDS, NOT_READ)
    assert permitted == lines(*fields[:4])
    assert permitted_trailers(lines(*fields), KINDS, frozenset({b"x-checksum", b"grpc-status"})) == lines(*fields[:2])


@given(
    st.lists(st.sampled_from(["X-Auth-Subject", "x_auth_subject", "Accept", "Forwarded", "X-Forwarded-For", "Cookie"]))
)
def test_whatever_a_client_sends_the_app_finds_each_identity_field_once(sent: list[str]) -> None:
    """Strip, then set: what passes, and what is ours, read by another HTTP."""
    fields = lines(
        *((name.encode(), b"root") for name in sent if KINDS[name.encode()] == FieldKind.PASS), (b"Host", b"a")
    )
    answer = read_claims({"sub": "alice"})
    ready = forwarding()
    chain = ready.forwarding_fields("203.0.113.7", "203.0.113.7", "http", b"a", {})
    request = parsed(request_head(permit(), b"GET", b"/", fields, chain, ready.identity_fields(answer), b""))
    matches = {
        folded: [value for name, value in request.headers if name.translate(FOLD) == folded]
        for folded in (b"x-auth-subject", b"x-forwarded-for", b"forwarded")
    }
    assert matches == {b"x-auth-subject": [b"alice"], b"x-forwarded-for": [b"203.0.113.7"], b"forwarded": []}
    assert sent.count("Accept") == [name for name, _ in request.headers].count(b"accept")


def test_another_spelling_of_a_field_that_names_a_method_is_dropped() -> None:
    """The field itself is read: the method that it names is authorized too."""
    assert KINDS[b"x-http-Method-Override"] == FieldKind.METHOD_OVERRIDE
    assert KINDS[b"X_HTTP-Method-Override"] == FieldKind.DROP
