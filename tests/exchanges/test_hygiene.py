"""Forwarding of fields (RFC 9110 §7.6): hop-by-hop fields are removed, all others stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.clients import Client
from harness.configs import TOKEN, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.tunnels import read_all
from harness.upstreams import Upstream, encode_fields

END_TO_END = [
    ("accept", "*/*"),
    ("X-One", "1"),
    ("x-ONE", "2"),
    ("Cookie", "a=1; b=2"),
    ("X-Empty", ""),
    ("Accept-Encoding", "gzip, br"),
    ("X-Latin", "\xe9"),
    ("X-One", "3"),
    ("User-Agent", "tests/1.0 (a; b) c"),
]
FORGED = [
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("X-Forwarded-Port", "1"),
    ("Forwarded", "for=192.0.2.1"),
    ("X-Auth-Subject", "mallory"),
    ("x_auth_subject", "mallory"),
    ("X-AUTH-Scope", "admin"),
]


def _forwarded(app: Upstream) -> list[tuple[bytes, bytes]]:
    """Return the fields of the last forwarded request, without Host and Authorization."""
    return [field for field in app.requests[-1].headers.raw_items() if field[0] not in (b"Host", b"Authorization")]


def test_end_to_end_fields_of_a_request_pass_unchanged(app: Upstream, client: Client) -> None:
    """Their order, spelling and number stay; the enforcer's own fields come after them."""
    client.request("GET", "/thing", END_TO_END)
    assert _forwarded(app)[: len(END_TO_END)] == encode_fields(END_TO_END)
    assert _forwarded(app)[len(END_TO_END) :] == encode_fields(
        [
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Real-IP", "127.0.0.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", client.host),
            ("X-Auth-Subject", "alice"),
            ("X-Auth-Client", "walker"),
            ("X-Auth-Scope", "read"),
        ]
    )


def test_host_and_target_pass_unchanged(app: Upstream, client: Client) -> None:
    """Byte for byte."""
    client.request("GET", "/a/%C3%A9/b%20c?x=1&y=%2F..%2f&&z", [])
    request = app.requests[-1]
    assert request.target == b"/a/%C3%A9/b%20c?x=1&y=%2F..%2f&&z"
    assert [value for name, value in request.headers if name == b"host"] == [client.host.encode()]


def test_end_to_end_fields_of_a_response_pass_unchanged(app: Upstream, client: Client) -> None:
    """Their order, spelling and number stay, also of Set-Cookie; nothing is added."""
    fields = [
        ("Set-Cookie", "a=1; Path=/; HttpOnly"),
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
        ("set-cookie", "b=2, c=3"),
        ("SERVER", "app"),
        ("X-Latin", "\xe9"),
        ("Set-Cookie", "a=1; Path=/; HttpOnly"),
        ("Cache-Control", "no-store"),
        ("Alt-Svc", 'h3=":443"'),
        ("WWW-Authenticate", 'Bearer realm="the app\'s own"'),
        ("Content-Encoding", "br"),
    ]
    app.handler = lambda incoming: incoming.respond(b"body", 401, fields)
    response = client.request("GET", "/thing")
    assert response.fields == [*encode_fields(fields), (b"Content-Length", b"4")]


@pytest.mark.parametrize("status", [200, 201, 207, 299, 302, 404, 418, 499, 500, 503, 599])
def test_status_and_reason_pass_unchanged(app: Upstream, client: Client, status: int) -> None:
    """Also unregistered ones."""
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 %d Quite So!\r\nContent-Length: 0\r\n\r\n" % status)
    response = client.request("GET", "/thing")
    assert (response.status, response.reason) == (status, b"Quite So!")


def test_hop_by_hop_fields_of_a_request_are_removed(app: Upstream, client: Client) -> None:
    """Hop-by-hop fields, and those listed in Connection, are not forwarded."""
    headers = [
        ("X-Kept", "1"),
        ("Connection", "X-Listed, keep-alive"),
        ("connection", "x-also-listed"),
        ("x-listed", "secret"),
        ("X-Also-Listed", "secret"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip, trailers;q=0.5"),
        ("Upgrade", "HTTP/3.0"),
    ]
    assert client.request("GET", "/thing", headers).status == 200
    names = [name for name, _ in _forwarded(app)]
    assert names[0] == b"X-Kept"
    assert {name.lower() for name in names} & {name.lower().encode() for name, _ in headers[1:]} == set()


def test_hop_by_hop_fields_of_a_response_are_removed(app: Upstream, client: Client) -> None:
    """Hop-by-hop fields, and those listed in Connection, are not forwarded."""
    fields = [
        ("X-Kept", "1"),
        ("Connection", "X-Listed, keep-alive"),
        ("x-listed", "secret"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Upgrade", "h2c"),
    ]
    app.handler = lambda incoming: incoming.respond(headers=fields)
    assert client.request("GET", "/thing").fields == [(b"X-Kept", b"1"), (b"Content-Length", b"0")]


@pytest.mark.parametrize("connection", ["", "Authorization, Host, X-Auth-Subject, X-Forwarded-For, Via"])
def test_forged_fields_are_replaced(app: Upstream, client: Client, connection: str) -> None:
    """Identity and forwarding fields of the client are replaced, and Connection cannot remove the enforcer's."""
    client.request("GET", "/thing", [*FORGED, ("Connection", connection)])
    assert [name for name, _ in app.requests[-1].headers.raw_items()] == [
        b"Host",
        b"Authorization",
        b"X-Forwarded-For",
        b"X-Real-IP",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"X-Auth-Subject",
        b"X-Auth-Client",
        b"X-Auth-Scope",
    ]
    assert b"mallory" not in b"".join(value for _, value in app.requests[-1].headers)


def test_forged_fields_are_removed_on_a_public_rule(app: Upstream, proxy: Enforcer) -> None:
    """A public rule sets no identity fields, and forwards none from the client."""
    with Client(proxy.port, token=None) as client:
        assert client.request("GET", "/public/thing", FORGED).status == 200
    names = [name for name, _ in _forwarded(app)]
    assert names == [b"X-Forwarded-For", b"X-Real-IP", b"X-Forwarded-Proto", b"X-Forwarded-Host"]


def _proxy(app: Upstream, server: Server, **forwarding: object) -> Iterator[Enforcer]:
    with enforcer(config(app.url, server.port, forwarding=forwarding)) as process:
        yield process


@pytest.fixture(scope="module")
def trusting(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    yield from _proxy(shared_app, authorization_server, trusted_proxies=["127.0.0.0/8"])


@pytest.fixture(scope="module")
def forwarded(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    yield from _proxy(shared_app, authorization_server, chain="forwarded", via=True, trusted_proxies=["127.0.0.1"])


@pytest.fixture(scope="module")
def silent(shared_app: Upstream) -> Iterator[Enforcer]:
    """An enforcer that forwards neither forwarding fields nor the token, and sets identity fields of its own choice."""
    claims = {"scope": "read", "sub": "al\u00e9", "groups": ["a", "b"], "org": {"id": 7}, "admin": True}
    names = {"X-User": "sub", "X-Groups": "groups", "X-Org": "org", "X-Admin": "admin", "X-None": "nothing"}
    with introspection_server({TOKEN: claims}) as server:
        yield from _proxy(shared_app, server, chain="none", authorization="remove", identity=names)


def test_a_trusted_proxys_forwarding_fields_are_extended(app: Upstream, trusting: Enforcer) -> None:
    """The client's address is appended to X-Forwarded-For; Proto and Host stay."""
    with Client(trusting.port) as client:
        client.request("GET", "/thing", FORGED)
    assert _forwarded(app)[:5] == encode_fields(
        [
            ("X-Forwarded-For", "192.0.2.1, 127.0.0.1"),
            ("X-Real-IP", "192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.example"),
            ("x-forwarded-port", "1"),
        ]
    )


def test_a_trusted_proxy_passes_no_user_on(app: Upstream, trusting: Enforcer) -> None:
    """It removes only the fields that it sets itself: the others are any client's, in any spelling."""
    names = ("User", "Groups", "Email", "Uri", "Method", "Client-Cert", "Scheme", "Anything")
    invented = [(f"X-Forwarded-{name}", "root") for name in names]
    spelt = [(name.replace("-", "_").lower(), value) for name, value in invented]
    with Client(trusting.port) as client:
        client.request("GET", "/thing", [*invented, *spelt, ("X-Forwarded-Prefix", "/app")])
    assert (b"x-forwarded-prefix", b"/app") in _forwarded(app)
    assert b"root" not in [value for _, value in _forwarded(app)]


def test_forwarded_replaces_the_three_fields_if_configured(app: Upstream, forwarded: Enforcer) -> None:
    """A trusted proxy's elements come before ours (`chain: forwarded`, RFC 7239), and its Via before ours (`via`)."""
    with Client(forwarded.port) as client:
        client.request("GET", "/thing", [("Via", "1.0 fred"), *FORGED])
        assert _forwarded(app)[:3] == encode_fields(
            [
                ("Via", "1.0 fred"),
                ("Forwarded", f'for=192.0.2.1, for=127.0.0.1;proto=http;host="{client.host}"'),
                ("Via", "1.1 enforcer"),
            ]
        )
        client.request("GET", "/thing")
        assert _forwarded(app)[0] == (b"Forwarded", f'for=127.0.0.1;proto=http;host="{client.host}"'.encode())


def test_claims_authorization_and_chain_are_as_configured(app: Upstream, silent: Enforcer) -> None:
    """Claims of any type become fields, absent ones do not; forwarding fields and token can be turned off."""
    with Client(silent.port) as client:
        client.request("GET", "/thing", FORGED)
    fields = app.requests[-1].headers.raw_items()
    assert fields[:1] == [(b"Host", fields[0][1])]
    assert fields[1:] == encode_fields(
        [
            *FORGED[5:],  # these names are neither identity nor forwarding fields in this configuration
            ("X-User", "al%C3%A9"),
            ("X-Groups", "a,b"),
            ("X-Org", 'json:{"id":7}'),
            ("X-Admin", "json:true"),
        ]
    )


def _with_trailer(process: Enforcer, trailer: bytes, next_fields: bytes) -> list[bytes]:
    """Send a chunked request with a trailer, and another request after it; return the status lines."""
    first = b"POST /first HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n%b\r\n\r\n" % trailer
    second = b"GET /second HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n" % next_fields
    with Client(process.port) as client:
        client.socket.sendall(first + chunks + second)
        return [line for line in read_all(client.socket).split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_a_token_in_a_trailer_is_ignored(app: Upstream, silent: Enforcer) -> None:
    """If a proxy in front shares a connection among clients, the token must not count for the next request."""
    statuses = _with_trailer(silent, b"Authorization: Bearer good-token", b"")
    assert statuses == [b"HTTP/1.1 200 ", b"HTTP/1.1 401 Unauthorized"]


@pytest.mark.parametrize(
    "trailer",
    [b"Connection: X-Kept", b"TE: trailers", b"X-Forwarded-For: 192.0.2.1", b"Host: other", b"Expect: 100-continue"],
)
def test_a_trailer_changes_nothing_of_the_next_request(app: Upstream, trusting: Enforcer, trailer: bytes) -> None:
    """It belongs to the message that it came with."""
    statuses = _with_trailer(trusting, trailer, b"Authorization: Bearer good-token\r\nX-Kept: 1\r\n")
    assert statuses == [b"HTTP/1.1 200 "] * 2
    assert [name for name, _ in app.requests[-1].headers.raw_items()][:4] == [
        b"Host",
        b"Authorization",
        b"X-Kept",
        b"X-Forwarded-For",
    ]
    assert [value for name, value in app.requests[-1].headers if name == b"x-forwarded-for"] == [b"127.0.0.1"]


@pytest.mark.parametrize("trailer", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"])
def test_a_framing_field_in_a_trailer_has_no_effect(app: Upstream, proxy: Enforcer, trailer: bytes) -> None:
    """The next request is parsed as sent, or the connection ends."""
    statuses = _with_trailer(proxy, trailer, b"Authorization: Bearer good-token\r\n")
    assert statuses in ([b"HTTP/1.1 200 "] * 2, [b"HTTP/1.1 400 Bad Request"])
    names = {name for request in app.requests[1:] for name, _ in request.headers}
    assert names & {b"content-length", b"transfer-encoding"} == set()


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_is_decremented(app: Upstream, client: Client, method: str) -> None:
    """RFC 9110 §7.6.2; Max-Forwards is unchanged with other methods."""
    assert client.request(method, "/hops", [("Max-Forwards", "2")]).status == 200
    assert client.request("GET", "/hops", [("Max-Forwards", "0")]).status == 200
    forwarded = [dict(request.headers) for request in app.requests if request.target == b"/hops"]
    assert [headers[b"max-forwards"] for headers in forwarded] == [b"1", b"0"]


def test_the_enforcer_responds_to_options_with_max_forwards_0(app: Upstream, client: Client) -> None:
    """The enforcer responds itself, and the connection stays open."""
    response = client.request("OPTIONS", "/thing", [("Max-Forwards", "0")])
    assert (response.status, response.body, response.values("Content-Length")) == (200, b"", [b"0"])
    assert client.request("GET", "/thing").status == 200
    assert [request.method for request in app.requests] == [b"GET"]


def test_the_enforcer_responds_to_trace_with_max_forwards_0(app: Upstream, client: Client) -> None:
    """RFC 9110 §9.3.8: the request as received, without fields that may be secret."""
    headers = [("Via", "1.1 first"), ("max-forwards", "0"), ("Cookie", "secret"), ("X-Secret", "secret")]
    response = client.request("TRACE", "/thing?x=1", headers)
    assert (response.status, response.values("Content-Type")) == (200, [b"message/http"])
    host = f"Host: {client.host}\r\n".encode()
    assert response.body == b"TRACE /thing?x=1 HTTP/1.1\r\n" + host + b"Via: 1.1 first\r\nMax-Forwards: 0\r\n\r\n"
    assert app.requests == []


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("other-token", 403)])
def test_max_forwards_0_is_authorized_too(
    app: Upstream, proxy: Enforcer, method: str, token: str | None, status: int
) -> None:
    """The request is authorized before the enforcer responds."""
    with Client(proxy.port, token=token) as client:
        assert client.request(method, "/thing", [("Max-Forwards", "0")]).status == status
