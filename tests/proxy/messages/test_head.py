"""Request heads: what is read from the parser's events, and what is refused."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.proxy.messages import responses
from enforcer.proxy.messages.cors import preflight_method
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead, unreadable
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits

FORWARDING = Forwarding(ForwardingSettings())
WITHOUT_AUTHORIZATION = Forwarding(ForwardingSettings(authorization="remove"))
LIMITS = Limits(body=1000)
HOST = (b"Host", b"app.example")

Field = tuple[bytes, bytes]


def read(
    *fields: Field,
    version: str = "1.1",
    upgrades: bool = False,
    method: bytes = b"POST",
    forwarding: Forwarding = FORWARDING,
) -> RequestHead:
    """Read a head from its fields, as the parser reports them."""
    builder = HeadBuilder(forwarding)
    builder.on_url(b"/")
    for name, value in fields:
        builder.on_header(name, value)
    return builder.build_special(method, True, LIMITS, False, version, upgrades)


def status(request: RequestHead) -> int | None:
    return None if request.refusal is None else request.refusal.status


def detail(request: RequestHead) -> bytes:
    assert request.refusal is not None
    return request.refusal.render(b"", close=True, head_only=False)


def names(request: RequestHead) -> list[bytes]:
    return request.lines[::4]


def test_a_common_request_stands_and_frames_nothing() -> None:
    """Its fields pass as they came, in order."""
    request = read(HOST, (b"accept", b"*/*"), (b"X-A", b"1"), (b"X-A", b"2"), method=b"GET")
    assert b"".join(request.lines) == b"Host: app.example\r\naccept: */*\r\nX-A: 1\r\nX-A: 2\r\n"
    assert (status(request), request.framing, request.host) == (None, b"", b"app.example")
    assert not any((request.has_body, request.chunked, request.http10, request.upgrade))


@pytest.mark.parametrize(
    ("version", "expected"), [("1.1", None), ("1.0", None), ("0.9", 505), ("2.0", 505), ("1.2", 505)]
)
def test_a_version_other_than_1_1_and_1_0_is_505(version: str, expected: int | None) -> None:
    """RFC 9110 §15.6.6."""
    request = read(HOST, version=version)
    assert status(request) == expected
    assert expected is not None or request.http10 == (version == "1.0")


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        pytest.param([], "1.1", id="none"),
        pytest.param([HOST, HOST], "1.1", id="the same twice"),
        pytest.param([HOST, (b"host", b"other")], "1.1", id="two"),
        pytest.param([HOST, (b"HOST", b"other")], "1.0", id="two to HTTP/1.0"),
        pytest.param([(b"Host", b"app/public?x=")], "1.1", id="CVE-2026-48710 Starlette"),
        pytest.param([(b"Host", b"")], "1.1", id="empty"),
        pytest.param([(b"Host", b"a, b")], "1.1", id="list"),
        pytest.param([(b"Host", b"user@app")], "1.1", id="userinfo"),
        pytest.param([(b"Host", b"app#")], "1.0", id="fragment"),
        pytest.param([(b"Host", b"a\x00b")], "1.1", id="NUL"),
    ],
)
def test_what_is_not_one_host_is_400(fields: list[Field], version: str) -> None:
    """RFC 9112 §3.2; the value is not repeated."""
    request = read(*fields, version=version)
    assert status(request) == 400
    assert b"Host: " in detail(request)
    assert b"public" not in detail(request)


def test_http_1_0_needs_no_host() -> None:
    """The host that the app gets is its upstream's, and is known once the rule is."""
    request = read(version="1.0", method=b"GET")
    assert (status(request), request.host, request.lines) == (None, b"", [])
    assert b"".join(read(HOST, version="1.0").lines) == b"Host: app.example\r\n"


ORIGIN = (b"Origin", b"https://app.example")
ASKS = (b"Access-Control-Request-Method", b"PUT")


@pytest.mark.parametrize(
    ("fields", "method", "asked"),
    [
        ([ORIGIN, ASKS], b"OPTIONS", b"PUT"),
        ([(b"ORIGIN", b"null"), (b"access-control-request-method", b" PUT\t")], b"OPTIONS", b"PUT"),
        ([ORIGIN, ASKS, (b"Content-Length", b"0")], b"OPTIONS", b"PUT"),
        ([ORIGIN, ASKS], b"GET", None),
        ([ORIGIN], b"OPTIONS", None),
        ([ASKS], b"OPTIONS", None),
        ([ORIGIN, ASKS, ASKS], b"OPTIONS", None),
        ([ORIGIN, ORIGIN, ASKS], b"OPTIONS", None),
        ([ORIGIN, ASKS, (b"Authorization", b"Basic YTpi")], b"OPTIONS", None),
        ([ORIGIN, ASKS, (b"Content-Length", b"1")], b"OPTIONS", None),
        ([ORIGIN, ASKS, (b"Transfer-Encoding", b"chunked")], b"OPTIONS", None),
        ([ORIGIN, (b"Access_Control_Request_Method", b"PUT")], b"OPTIONS", None),
        ([ORIGIN, ASKS, (b"Connection", b"Origin")], b"OPTIONS", None),
    ],
)
def test_a_preflight_is_an_options_with_its_two_fields_and_nothing_else(
    fields: list[Field], method: bytes, asked: bytes | None
) -> None:
    """No credentials, no content: it is to pass without a token."""
    request = read(HOST, *fields, method=method)
    assert status(request) is None
    assert preflight_method(request) == asked


def test_what_asks_for_an_upgrade_is_no_preflight() -> None:
    """A tunnel is more than an answer."""
    upgrade = (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")
    request = read(HOST, ORIGIN, ASKS, *upgrade, method=b"OPTIONS", upgrades=True)
    assert request.upgrade == b"websocket"
    assert preflight_method(request) is None


CHUNKED, LENGTH = b"Transfer-Encoding", b"Content-Length"


@pytest.mark.parametrize(
    ("fields", "framing", "has_body"),
    [
        ([(LENGTH, b"0")], b"Content-Length: 0\r\n", False),
        ([(LENGTH, b"5")], b"Content-Length: 5\r\n", True),
        ([(LENGTH, b" 5\t")], b"Content-Length: 5\r\n", True),
        ([(b"content-length", b"1000")], b"Content-Length: 1000\r\n", True),
        ([(LENGTH, b"005")], b"Content-Length: 5\r\n", True),
        ([(CHUNKED, b"chunked")], b"Transfer-Encoding: chunked\r\n", True),
        ([(CHUNKED, b" Chunked\t")], b"Transfer-Encoding: chunked\r\n", True),
    ],
)
def test_a_body_is_framed_in_one_way_written_by_us(fields: list[Field], framing: bytes, has_body: bool) -> None:
    """The client's own framing fields go no further."""
    request = read(HOST, *fields)
    assert (status(request), request.framing, request.has_body) == (None, framing, has_body)
    assert request.chunked == framing.startswith(CHUNKED)
    assert names(request) == [b"Host"]


@pytest.mark.parametrize(
    ("fields", "version", "expected"),
    [
        pytest.param([(CHUNKED, b"chunked"), (LENGTH, b"5")], "1.1", 400, id="CVE-2025-43859 h11: both"),
        pytest.param([(LENGTH, b"5"), (CHUNKED, b"chunked")], "1.1", 400, id="both, the other way round"),
        pytest.param([(LENGTH, b"0"), (CHUNKED, b"chunked")], "1.1", 400, id="both, one for nothing"),
        pytest.param([(CHUNKED, b"xchunked")], "1.1", 501, id="xchunked"),
        pytest.param([(CHUNKED, b"chunked, chunked")], "1.1", 501, id="chunked twice"),
        pytest.param([(CHUNKED, b"gzip, chunked")], "1.1", 501, id="gzip"),
        pytest.param([(CHUNKED, b"identity")], "1.1", 501, id="identity"),
        pytest.param([(CHUNKED, b"chunked;a=b")], "1.1", 501, id="with a parameter"),
        pytest.param([(CHUNKED, b"")], "1.1", 501, id="empty coding"),
        pytest.param([(CHUNKED, b"\x0bchunked")], "1.1", 501, id="vertical tab before"),
        pytest.param([(CHUNKED, b"chunked\x0c")], "1.1", 501, id="form feed behind"),
        pytest.param([(CHUNKED, b"chunked"), (CHUNKED, b"chunked")], "1.1", 501, id="two fields"),
        pytest.param([(CHUNKED, b"chunked")], "1.0", 400, id="HTTP/1.0"),
        pytest.param([(LENGTH, b"5"), (LENGTH, b"5")], "1.1", 400, id="two lengths, the same"),
        pytest.param([(LENGTH, b"5"), (LENGTH, b"6")], "1.1", 400, id="two lengths"),
        pytest.param([(LENGTH, b"5, 5")], "1.1", 400, id="a list of lengths"),
        pytest.param([(LENGTH, b"")], "1.1", 400, id="empty length"),
        pytest.param([(LENGTH, b"+5")], "1.1", 400, id="plus"),
        pytest.param([(LENGTH, b"-1")], "1.1", 400, id="minus"),
        pytest.param([(LENGTH, b"5 5")], "1.1", 400, id="blank within"),
        pytest.param([(LENGTH, b"\x0b5")], "1.1", 400, id="vertical tab before a length"),
        pytest.param([(LENGTH, b"0x5")], "1.1", 400, id="hexadecimal"),
        pytest.param([(LENGTH, b"1_0")], "1.1", 400, id="underscore"),
        pytest.param([(LENGTH, "٥".encode())], "1.1", 400, id="other digits"),
        pytest.param([(LENGTH, b"1e1")], "1.1", 400, id="exponent"),
        pytest.param([(LENGTH, b"9" * 19)], "1.1", 400, id="beyond 64 bits"),
        pytest.param([(LENGTH, b"0" * 40 + b"5")], "1.1", 400, id="many zeros"),
        pytest.param([(LENGTH, b"1001")], "1.1", 413, id="more than may be"),
    ],
)
def test_what_two_parsers_could_frame_differently_is_refused(fields: list[Field], version: str, expected: int) -> None:
    """RFC 9112 §6: the body of one request must not be the next one."""
    assert status(read(HOST, *fields, version=version)) == expected


def test_the_reason_of_a_refusal_names_no_value() -> None:
    """It is in the answer and may be in a log."""
    for fields in ([(CHUNKED, b"s3cret")], [(LENGTH, b"s3cret")], [(b"Host", b"s3cret/"), HOST]):
        request = read(HOST, *fields)
        assert b"s3cret" not in detail(request)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([LENGTH, CHUNKED, b"content_length", b"TRANSFER_ENCODING"]),
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"5", b"0", b"chunked", b" 7 ", b"CHUNKED", b"5,5", b"\x0b5", b"1001"]),
            ),
        ),
        max_size=3,
    ),
    st.sampled_from(["1.0", "1.1"]),
)
@example([(b"content_length", b"5")], "1.1")
def test_whatever_is_sent_a_request_that_stands_has_at_most_one_framing_line(fields: list[Field], version: str) -> None:
    """And none of the client's, in any spelling."""
    request = read(HOST, *fields, version=version)
    if request.refusal is None:
        assert re.fullmatch(
            rb"|Content-Length: (?:0|[1-9][0-9]{0,17})\r\n|Transfer-Encoding: chunked\r\n", request.framing
        )
        assert request.has_body == (re.search(rb"chunked|[1-9]", request.framing) is not None)
        assert names(request) == [b"Host"]
        assert not all((request.http10, request.chunked))
    else:
        assert request.refusal.status in (400, 413, 501)


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        ([(b"Connection", b"close"), (b"X-Foo", b"1")], [b"Host", b"X-Foo"]),
        ([(b"Connection", b"X-Foo"), (b"X-Foo", b"1"), (b"x-foo", b"2")], [b"Host"]),
        ([(b"X-Foo", b"1"), (b"Connection", b"a"), (b"connection", b"x-foo")], [b"Host"]),
        ([(b"Connection", b"Host, Expect"), (b"Expect", b"100-continue")], [b"Host", b"Expect"]),
        ([(b"Connection", b"keep-alive"), (b"Keep-Alive", b"timeout=5"), (b"Proxy-Connection", b"x")], [b"Host"]),
    ],
)
def test_fields_of_one_hop_and_those_that_connection_lists_go(fields: list[Field], passed: list[bytes]) -> None:
    """RFC 9110 §7.6.1."""
    request = read(HOST, *fields)
    assert (status(request), names(request), request.framing) == (None, passed, b"")


@pytest.mark.parametrize("options", [[], [b"close, DPoP"]])
def test_a_proof_goes_where_the_token_goes(options: list[bytes]) -> None:
    """Also where Connection lists it; a certificate that a client claims goes nowhere."""
    listed = [(b"Connection", value) for value in options]
    fields = [HOST, (b"dpop", b"proof"), (b"Client-Cert", b":AA==:"), *listed]
    assert b"dpop: proof\r\n" in b"".join(read(*fields).lines)
    assert names(read(*fields)) == [b"Host", b"dpop"]
    assert names(read(*fields, forwarding=WITHOUT_AUTHORIZATION)) == [b"Host"]


def test_an_expectation_is_passed_on() -> None:
    """RFC 9110 §10.1.1: it is the app's to meet or to refuse."""
    request = read(HOST, (b"expect", b"100-continue"), (LENGTH, b"5"))
    assert b"expect: 100-continue\r\n" in b"".join(request.lines)


@pytest.mark.parametrize(
    ("value", "framing"),
    [
        (b"trailers", b"TE: trailers\r\nConnection: TE\r\n"),
        (b"gzip, Trailers", b"TE: trailers\r\nConnection: TE\r\n"),
        (b"gzip", b""),
        (b"trailers;q=0.5", b""),
        (b"", b""),
    ],
)
def test_of_te_only_trailers_are_asked_for(value: bytes, framing: bytes) -> None:
    """RFC 9110 §10.1.4; another transfer coding is not read here."""
    assert read(HOST, (b"TE", value)).framing == framing


@pytest.mark.parametrize("protocol", [b"websocket", b"WebSocket", b" websocket "])
def test_a_websocket_may_be_upgraded_to(protocol: bytes) -> None:
    """RFC 6455 §4.1: the name's case does not matter."""
    request = read(HOST, (b"Connection", b"Upgrade"), (b"Upgrade", protocol), upgrades=True, method=b"GET")
    assert (request.upgrade, request.framing) == (b"websocket", b"Upgrade: websocket\r\nConnection: Upgrade\r\n")


@pytest.mark.parametrize(
    ("fields", "upgrades", "version"),
    [
        pytest.param([(b"Upgrade", b"h2c")], True, "1.1", id="h2c: its requests would pass unjudged"),
        pytest.param([(b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABk")], True, "1.1", id="h2c with its settings"),
        pytest.param([(b"Upgrade", b"h2,HTTP/2.0"), (b"Upgrade", b"h2c")], True, "1.1", id="a list"),
        pytest.param([(b"Upgrade", b"TLS/1.0")], True, "1.1", id="TLS"),
        pytest.param([(b"Upgrade", b"websocket")], False, "1.1", id="not in Connection"),
        pytest.param([(b"Upgrade", b"websocket")], True, "1.0", id="HTTP/1.0"),
        pytest.param([(b"Upgrade", b"websocket"), (LENGTH, b"5")], True, "1.1", id="with a body"),
        pytest.param([(b"Upgrade", b"websocket"), (CHUNKED, b"chunked")], True, "1.1", id="with a chunked body"),
    ],
)
def test_any_other_upgrade_is_not_asked_of_the_app(fields: list[Field], upgrades: bool, version: str) -> None:
    """The request itself is forwarded without the upgrade (RFC 9110 §7.8)."""
    request = read(HOST, *fields, upgrades=upgrades, version=version)
    assert (status(request), request.upgrade) == (None, None)
    assert b"pgrade" not in request.framing
    assert names(request) == [b"Host"]


@pytest.mark.parametrize("values", [[b"h2c, websocket"], [b"other/1", b"WebSocket, h2c"], [b", websocket"]])
def test_of_a_list_the_first_permitted_protocol_is_asked_for(values: list[bytes]) -> None:
    """A server chooses one of them, or none (RFC 9110 §7.8)."""
    request = read(HOST, *((b"Upgrade", value) for value in values), upgrades=True, method=b"GET")
    assert (status(request), request.upgrade) == (None, b"websocket")


@pytest.mark.parametrize(
    "fields", [[(b"Upgrade", b"tcp")], [(b"Upgrade", b"h2c, tcp")], [(b"Upgrade", b"\x0bwebsocket")]]
)
def test_an_upgrade_that_is_not_permitted_is_refused(fields: list[Field]) -> None:
    """Without it, the request would have another meaning."""
    assert status(read(HOST, *fields, upgrades=True)) == 501


def test_te_and_upgrade_are_listed_together() -> None:
    """One Connection line, ours."""
    request = read(HOST, (b"TE", b"trailers"), (b"Upgrade", b"websocket"), upgrades=True, method=b"GET")
    assert request.framing == b"TE: trailers\r\nUpgrade: websocket\r\nConnection: TE, Upgrade\r\n"


def test_a_request_that_cannot_be_read_has_its_answer_and_nothing_else() -> None:
    """And the connection is not kept for another."""
    request = unreadable(responses.HEAD_TOO_LARGE)
    assert (request.refusal, request.method, request.target) == (responses.HEAD_TOO_LARGE, b"", b"")
    assert not any((request.keep_alive, request.has_body))


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (b"0", b"0"),
        (b"1", b"0"),
        (b" 10\t", b"9"),
        (b"007", b"6"),
        pytest.param(b"9" * 100, b"9" * 17 + b"8", id="more than is counted"),
    ],
)
def test_a_hop_is_counted(method: bytes, sent: bytes, left: bytes) -> None:
    """RFC 9110 §7.6.2: one less goes on, or the largest number that is counted."""
    request = read(HOST, (b"max-forwards", sent), (b"X-A", b"1"), method=method)
    assert request.refusal is None
    assert request.lines[-4:] == [b"Max-Forwards", b": ", left, b"\r\n"]
    assert names(request).count(b"Max-Forwards") == 1


@pytest.mark.parametrize("fields", [[b""], [b"-1"], [b"1.0"], [b"1, 2"], [b"x"], [b"1", b"1"], [b"\xb2"]])
def test_hops_that_are_not_one_number_are_malformed(fields: list[bytes]) -> None:
    """Two hops could count differently."""
    assert status(read(HOST, *((b"Max-Forwards", value) for value in fields), method=b"TRACE")) == 400


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_hops_of_other_methods_are_not_counted(method: bytes) -> None:
    """Its value is forwarded unchanged."""
    request = read(HOST, (b"max-forwards", b"0"), (b"Max-Forwards", b"x"), method=method)
    assert request.refusal is None
    assert b"".join(request.lines[4:]) == b"max-forwards: 0\r\nMax-Forwards: x\r\n"
