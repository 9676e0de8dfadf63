"""What of a message goes on (RFC 9110 §7.6): what is for the next hop alone goes, the rest stays as it was."""

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


def _sent_on(app: Upstream) -> list[tuple[bytes, bytes]]:
    """What the app got but for the fields that every test would have."""
    return [field for field in app.requests[-1].headers.raw_items() if field[0] not in (b"Host", b"Authorization")]


def test_end_to_end_fields_of_a_request_pass_unchanged(app: Upstream, client: Client) -> None:
    """Their order, spelling and number stay; the enforcer's own come behind."""
    client.request("GET", "/thing", END_TO_END)
    assert _sent_on(app)[: len(END_TO_END)] == encode_fields(END_TO_END)
    assert _sent_on(app)[len(END_TO_END) :] == encode_fields(
        [
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", client.host),
            ("Via", "1.1 enforcer"),
            ("X-Auth-Subject", "alice"),
            ("X-Auth-Client", "walker"),
            ("X-Auth-Scope", "read"),
        ]
    )


def test_host_and_target_pass_unchanged(app: Upstream, client: Client) -> None:
    """The app sees what the client asked for, byte for byte."""
    client.request("GET", "/a/%C3%A9/b%20c?x=1&y=%2F..%2f&&z", [])
    request = app.requests[-1]
    assert request.target == b"/a/%C3%A9/b%20c?x=1&y=%2F..%2f&&z"
    assert [value for name, value in request.headers if name == b"host"] == [client.host.encode()]


def test_end_to_end_fields_of_an_answer_pass_unchanged(app: Upstream, client: Client) -> None:
    """Their order, spelling and number stay, several Set-Cookie among them; nothing is added."""
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
    answer = client.request("GET", "/thing")
    assert answer.fields == [*encode_fields(fields), (b"Content-Length", b"4")]


@pytest.mark.parametrize("status", [200, 201, 207, 299, 302, 404, 418, 499, 500, 503, 599])
def test_status_and_reason_pass_unchanged(app: Upstream, client: Client, status: int) -> None:
    """Also those that nobody has registered."""
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 %d Quite So!\r\nContent-Length: 0\r\n\r\n" % status)
    answer = client.request("GET", "/thing")
    assert (answer.status, answer.reason) == (status, b"Quite So!")


def test_what_is_for_the_next_hop_alone_goes_from_a_request(app: Upstream, client: Client) -> None:
    """Hop-by-hop fields, and those that Connection lists, are not forwarded."""
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
    names = [name for name, _ in _sent_on(app)]
    assert names[0] == b"X-Kept"
    assert {name.lower() for name in names} & {name.lower().encode() for name, _ in headers[1:]} == set()


def test_what_is_for_the_next_hop_alone_goes_from_an_answer(app: Upstream, client: Client) -> None:
    """Hop-by-hop fields, and those that Connection lists, are not forwarded."""
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
def test_forged_fields_are_gone_and_ours_stay(app: Upstream, client: Client, connection: str) -> None:
    """What a client says of itself or its way is replaced, and Connection cannot take ours away."""
    client.request("GET", "/thing", [*FORGED, ("Connection", connection)])
    assert [name for name, _ in app.requests[-1].headers.raw_items()] == [
        b"Host",
        b"Authorization",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"Via",
        b"X-Auth-Subject",
        b"X-Auth-Client",
        b"X-Auth-Scope",
    ]
    assert b"mallory" not in b"".join(value for _, value in app.requests[-1].headers)


def test_forged_fields_are_gone_without_a_token_too(app: Upstream, proxy: Enforcer) -> None:
    """A public rule sets no identity, and lets none be forged."""
    with Client(proxy.port, token=None) as client:
        assert client.request("GET", "/public/thing", FORGED).status == 200
    names = [name for name, _ in _sent_on(app)]
    assert names == [b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Via"]


def _proxy(app: Upstream, server: Server, **forwarding: object) -> Iterator[Enforcer]:
    with enforcer(config(app.url, server.port, forwarding=forwarding)) as process:
        yield process


@pytest.fixture(scope="module")
def trusting(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    yield from _proxy(shared_app, authorization_server, trusted_proxies=["127.0.0.0/8"])


@pytest.fixture(scope="module")
def forwarded(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    yield from _proxy(shared_app, authorization_server, chain="forwarded", trusted_proxies=["127.0.0.1"])


@pytest.fixture(scope="module")
def silent(shared_app: Upstream) -> Iterator[Enforcer]:
    """Passes neither chain nor token on, and claims of its own choice."""
    claims = {"scope": "read", "sub": "al\u00e9", "groups": ["a", "b"], "org": {"id": 7}, "admin": True}
    names = {"X-User": "sub", "X-Groups": "groups", "X-Org": "org", "X-Admin": "admin", "X-None": "nothing"}
    with introspection_server({TOKEN: claims}) as server:
        yield from _proxy(shared_app, server, chain="none", authorization="remove", identity=names)


def test_a_trusted_proxys_chain_is_kept_and_added_to(app: Upstream, trusting: Enforcer) -> None:
    """Its X-Forwarded-For grows, its Proto and Host stand."""
    with Client(trusting.port) as client:
        client.request("GET", "/thing", FORGED)
    assert _sent_on(app)[:5] == encode_fields(
        [
            ("X-Forwarded-For", "192.0.2.1, 127.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.example"),
            ("x-forwarded-port", "1"),
            ("Via", "1.1 enforcer"),
        ]
    )


def test_forwarded_replaces_the_three_fields_where_that_is_set(app: Upstream, forwarded: Enforcer) -> None:
    """RFC 7239, with a trusted proxy's elements before ours."""
    with Client(forwarded.port) as client:
        client.request("GET", "/thing", [("Via", "1.0 fred"), *FORGED])
        assert _sent_on(app)[:3] == encode_fields(
            [
                ("Via", "1.0 fred"),
                ("Forwarded", f'for=192.0.2.1, for=127.0.0.1;proto=http;host="{client.host}"'),
                ("Via", "1.1 enforcer"),
            ]
        )
        client.request("GET", "/thing")
        assert _sent_on(app)[0] == (b"Forwarded", f'for=127.0.0.1;proto=http;host="{client.host}"'.encode())


def test_claims_authorization_and_chain_are_as_configured(app: Upstream, silent: Enforcer) -> None:
    """Claims of any kind become fields, absent ones do not; no chain and no token where that is set."""
    with Client(silent.port) as client:
        client.request("GET", "/thing", FORGED)
    fields = app.requests[-1].headers.raw_items()
    assert fields[:1] == [(b"Host", fields[0][1])]
    assert fields[1:] == encode_fields(
        [
            *FORGED[5:],  # not identity fields here, and nobody's chain
            ("Via", "1.1 enforcer"),
            ("X-User", "al%C3%A9"),
            ("X-Groups", "a b"),
            ("X-Org", '{"id":7}'),
            ("X-Admin", "true"),
        ]
    )


def _with_trailer(process: Enforcer, trailer: bytes, behind: bytes) -> list[bytes]:
    """Send a chunked request with a trailer and a request behind it; return the status lines of the answers."""
    first = b"POST /first HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n%b\r\n\r\n" % trailer
    second = b"GET /second HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n" % behind
    with Client(process.port) as client:
        client.socket.sendall(first + chunks + second)
        return [line for line in read_all(client.socket).split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_a_token_in_a_trailer_is_nobodys(app: Upstream, silent: Enforcer) -> None:
    """Where a proxy before us shares a connection among clients, it must not be the next client's."""
    answers = _with_trailer(silent, b"Authorization: Bearer good-token", b"")
    assert answers == [b"HTTP/1.1 200 ", b"HTTP/1.1 401 Unauthorized"]


@pytest.mark.parametrize(
    "trailer",
    [b"Connection: X-Kept", b"TE: trailers", b"X-Forwarded-For: 192.0.2.1", b"Host: other", b"Expect: 100-continue"],
)
def test_a_trailer_changes_nothing_of_the_next_request(app: Upstream, trusting: Enforcer, trailer: bytes) -> None:
    """It belongs to the message that it came with."""
    answers = _with_trailer(trusting, trailer, b"Authorization: Bearer good-token\r\nX-Kept: 1\r\n")
    assert answers == [b"HTTP/1.1 200 "] * 2
    assert [name for name, _ in app.requests[-1].headers.raw_items()][:4] == [
        b"Host",
        b"Authorization",
        b"X-Kept",
        b"X-Forwarded-For",
    ]
    assert [value for name, value in app.requests[-1].headers if name == b"x-forwarded-for"] == [b"127.0.0.1"]


@pytest.mark.parametrize("trailer", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"])
def test_a_trailer_frames_nothing(app: Upstream, proxy: Enforcer, trailer: bytes) -> None:
    """The request behind it is the one that was sent, or the connection ends."""
    answers = _with_trailer(proxy, trailer, b"Authorization: Bearer good-token\r\n")
    assert answers in ([b"HTTP/1.1 200 "] * 2, [b"HTTP/1.1 400 Bad Request"])
    names = {name for request in app.requests[1:] for name, _ in request.headers}
    assert names & {b"content-length", b"transfer-encoding"} == set()


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_a_request_with_hops_left_goes_on_with_one_less(app: Upstream, client: Client, method: str) -> None:
    """RFC 9110 §7.6.2; that of another method is nobody's to count."""
    assert client.request(method, "/hops", [("Max-Forwards", "2")]).status == 200
    assert client.request("GET", "/hops", [("Max-Forwards", "0")]).status == 200
    came = [dict(request.headers) for request in app.requests if request.target == b"/hops"]
    assert [headers[b"max-forwards"] for headers in came] == [b"1", b"0"]


def test_options_without_a_hop_left_is_answered_here(app: Upstream, client: Client) -> None:
    """Before the app, on a connection that stays."""
    answer = client.request("OPTIONS", "/thing", [("Max-Forwards", "0")])
    assert (answer.status, answer.body, answer.values("Content-Length")) == (200, b"", [b"0"])
    assert client.request("GET", "/thing").status == 200
    assert [request.method for request in app.requests] == [b"GET"]


def test_trace_without_a_hop_left_tells_of_the_way_and_no_secret(app: Upstream, client: Client) -> None:
    """RFC 9110 §9.3.8: the request as it arrived, without the fields that may be secret."""
    headers = [("Via", "1.1 first"), ("max-forwards", "0"), ("Cookie", "secret"), ("X-Secret", "secret")]
    answer = client.request("TRACE", "/thing?x=1", headers)
    assert (answer.status, answer.values("Content-Type")) == (200, [b"message/http"])
    host = f"Host: {client.host}\r\n".encode()
    assert answer.body == b"TRACE /thing?x=1 HTTP/1.1\r\n" + host + b"Via: 1.1 first\r\nMax-Forwards: 0\r\n\r\n"
    assert app.requests == []


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("other-token", 403)])
def test_who_may_not_ask_the_app_is_told_nothing_by_the_enforcer(
    app: Upstream, proxy: Enforcer, method: str, token: str | None, status: int
) -> None:
    """The request is judged before it is answered here."""
    with Client(proxy.port, token=token) as client:
        assert client.request(method, "/thing", [("Max-Forwards", "0")]).status == status
