"""Request targets: parsed once, or refused."""

from contextlib import suppress
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import MalformedRequestError
from enforcer.wire.target import Target, parse, read_path

READABLE = [
    (b"/", [b""], b""),
    (b"/?", [b""], b""),
    (b"/ms-system/country/code/AUS", [b"ms-system", b"country", b"code", b"AUS"], b""),
    (b"/a/", [b"a", b""], b""),
    (b"/a?b=c&d=/../e//f;g", [b"a"], b"b=c&d=/../e//f;g"),
    (b"/a?b?c", [b"a"], b"b?c"),
    (b'/a?q="x"|{y}[z]\\^`', [b"a"], b'q="x"|{y}[z]\\^`'),
    (b"/a?q=%00%2e%2e%2f", [b"a"], b"q=%00%2e%2e%2f"),
    (b"/caf%C3%A9/%E6%9D%B1", ["café".encode(), "東".encode()], b""),
    (b"/%61dmin/%41", [b"admin", b"A"], b""),
    (b"/a%20b/a+b", [b"a b", b"a+b"], b""),
    (b"/a.b/..a/a../.a/a./v1.0", [b"a.b", b"..a", b"a..", b".a", b"a.", b"v1.0"], b""),
    (b"/~user/-_!$&'()*+,=:@", [b"~user", b"-_!$&'()*+,=:@"], b""),
    (b"/%3A%40%26%3D%2B%24%2C%7B%7C%7D%5B%5D%22%3C%3E%5E%60", [b':@&=+$,{|}[]"<>^`'], b""),
    (b"/file[1].pdf/a|b/x^2/{id}", [b"file[1].pdf", b"a|b", b"x^2", b"{id}"], b""),
    (b"/a%20b/file[1].pdf", [b"a b", b"file[1].pdf"], b""),
    (b"/a%2eb/%2Ec", [b"a.b", b".c"], b""),
    (b'/"<a>`', [b'"<a>`'], b""),
    (b"/" + b"a/" * 4000, [b"a"] * 4000 + [b""], b""),
]


@pytest.mark.parametrize(("raw", "segments", "query"), READABLE, ids=lambda value: repr(value)[:40])
def test_a_path_is_parsed_and_forwarded_unchanged(raw: bytes, segments: list[bytes], query: bytes) -> None:
    """It is decoded only for matching: the bytes that are forwarded are the client's."""
    assert parse(raw) == Target(raw, segments, query, None)
    assert parse(raw).origin_form is raw


HOSTILE = {
    "CVE-2026-33494 Oathkeeper": [
        b"/public/../admin/x",
        b"/public/%2e%2e/admin/x",
        b"/public/.%2e/admin/x",
        b"/public/%2E./admin/x",
        b"/public/..;/admin/x",
        b"/public/..;a=b/admin/x",
        b"/public/%2e%2e;/admin/x",
    ],
    "CVE-2026-42274 Heimdall": [
        b"/public/%2e%2e%2fadmin",
        b"/public/%2E%2E%2Fadmin",
        b"/public/..%2fadmin",
        b"/public/..%5cadmin",
        b"/public/..%5Cadmin",
    ],
    "CVE-2026-42272 Heimdall": [b"/api%2fadmin", b"/api%2Fadmin"],
    "CVE-2021-29492 Envoy": [
        b"//admin",
        b"///admin",
        b"/%2Fadmin",
        b"/%2fadmin",
        b"/\\admin",
        b"\\admin",
        b"/%5cadmin",
        b"/api//../admin",
        b"/api//admin",
        b"/admin//",
    ],
    "CVE-2021-32779 Envoy": [
        b"/admin#/public",
        b"/public#/../admin",
        b"/#",
        b"#",
        b"/a?b#c",
        b"http://app/admin#/public",
    ],
    "CVE-2025-66490 Traefik": [
        b"/public/" + encoded + b"admin"
        for upper in (b"%2F", b"%5C", b"%00", b"%3B", b"%25", b"%3F", b"%23")
        for encoded in sorted({upper, upper.lower()})
    ],
    "decoded twice": [b"/public/%252e%252e/admin", b"/public/%252E/admin", b"/%2561dmin", b"/%25"],
    "CVE-2026-33186 gRPC-Go": [b"admin/x", b"admin", b"", b"*", b"?", b"?/admin", b".", b"..", b"app:443"],
    "dot segments": [
        b"/.",
        b"/..",
        b"/./a",
        b"/a/.",
        b"/a/..",
        b"/a/.?x",
        b"/a/...",
        b"/a/%2e",
        b"/a/%2e%2e",
        b"/a/%2e?x",
        b"/a/%20",
        b"/a/..%20/b",
        b"/a/.%20./b",
    ],
    "path parameters": [b"/a;b", b"/a;", b"/;/admin", b"/admin;.css", b"/a/b;jsessionid=1/c"],
    "control bytes": [
        b"/a\x00",
        b"/a\tb",
        b"/a b",
        b"/a\x7f",
        b"/a\r\nX: y",
        b"/a%0d%0aX:%20y",
        b"/a%1F",
        b"/a%1f",
        b"/a%7F",
        b"/a%09b",
        b"/a%C2%85b",
        b"/a%C2%9B",
    ],
    "bytes outside pchar": [b"/caf\xc3\xa9", b"/\xff"],
    "invalid encoding": [b"/%", b"/%4", b"/%zz", b"/a%", b"/%%41", b"/%u002e", b"/% 41", b"/%-1", b"/%+1"],
    "not UTF-8": [
        b"/%ff",
        b"/%C3",
        b"/%C3/%A9",
        b"/%c0%ae%c0%ae/admin",  # an overlong dot
        b"/%c0%afadmin",  # an overlong slash
        b"/%e0%80%af",
        b"/%ed%a0%80",  # a surrogate
        b"/%f4%90%80%80",
    ],
    "query": [b"/a?\x00", b"/a?b c", b"/a?b\tc", b"/a?caf\xc3\xa9", b"/a?\x7f", b"/a?\r\n", b"/a?b#"],
    "absolute form": [
        b"http://",
        b"http:///admin",
        b"http:/admin",
        b"http:admin",
        b"http://?a",
        b"http://user@app/admin",
        b"http://user:pw@app/admin",
        b"http://app:80:80/admin",
        b"http://app:port/admin",
        b"http://app:123456/admin",
        b"http://app%2eexample/admin",
        b"http://a,b/admin",
        b"http://[::1/admin",
        b"http://::1/admin",
        b"http://app\\admin",
        b"http://app\\@other/admin",
        b"http://app;/admin",
        b"http://app /admin",
        b"http://\xc3\xa9/admin",
        b"http://app//admin",
        b"http://app/../admin",
        b"http://app/%2e%2e/admin",
        b"http://app/a?b#c",
        b"http://app#/admin",
        b"ftp://app/admin",
        b"file:///etc/passwd",
        b"h2c://app/admin",
        b" http://app/admin",
    ],
}


@pytest.mark.parametrize(
    "raw", [pytest.param(raw, id=f"{source}: {raw!r}") for source, all_of in HOSTILE.items() for raw in all_of]
)
def test_a_target_that_parsers_read_differently_is_refused_or_marked(raw: bytes) -> None:
    """A marked one is forwarded only if its readings lead to the same rule."""
    with suppress(MalformedRequestError):
        assert parse(raw).ambiguous


REFUSED = [
    *(raw for source in ("CVE-2021-32779 Envoy", "CVE-2026-33186 gRPC-Go", "query") for raw in HOSTILE[source]),
    *(b"/a%00", b"/a%0d", b"/a%0A", b"/a\x00", b"/a b", b"/a\x7f", b"/caf\xc3\xa9", b"/%", b"/100%.txt", b"/%u002e"),
    *(b"/..", b"/a/../..", b"/a/%2e%2e/%2E./b", b"/a//../../b", b"/a%2f..%2f..%2f.."),
]


@pytest.mark.parametrize("raw", REFUSED)
def test_a_target_that_no_client_needs_is_refused(raw: bytes) -> None:
    """Bytes that no URI has, encoded NUL and line breaks, incomplete encodings, and paths above the root.

    nginx refuses these paths too, except for line breaks, a fragment and raw bytes that are not ASCII.
    """
    with pytest.raises(MalformedRequestError) as error:
        parse(raw)
    assert error.value.status == 400


def test_the_plainest_reading_is_split_at_slashes_as_sent_and_then_decoded_once() -> None:
    """It is the one that conditions see, if no other reading differs."""
    assert read_path(b"/a%2Fb//..;x/%252e/%5c%3B%3F%23%FF") == ([b"a/b", b"", b"..;x", b"%2e", b"\\;?#\xff"], True)
    assert parse(b"/a//b?c/d").path == b"/a//b"


@pytest.mark.parametrize("byte", range(256), ids=lambda byte: f"{byte:02x}")
def test_a_byte_means_the_same_raw_and_encoded(byte: int) -> None:
    """CVE-2026-42272 Heimdall: upper and lower case of an encoding have the same result."""

    def read(encoded: bytes) -> list[bytes] | None:
        try:
            return parse(b"/a" + encoded + b"b").segments
        except MalformedRequestError:
            return None

    encoded = read(b"%%%02X" % byte)
    assert read(b"%%%02x" % byte) == encoded
    assert encoded in (None, [b"a" + bytes((byte,)) + b"b"])
    raw = read(bytes((byte,)))
    if raw is not None and byte not in b"/?":
        assert encoded in (None, raw)


ABSOLUTE = [
    (b"http://app/admin", b"/admin", [b"admin"], b"app"),
    (b"HTTP://App:8080/admin?x=1", b"/admin?x=1", [b"admin"], b"App:8080"),
    (b"https://app.example.org", b"/", [b""], b"app.example.org"),
    (b"http://app?x=http://b/", b"/?x=http://b/", [b""], b"app"),
    (b"http://[2001:db8::1]:80/", b"/", [b""], b"[2001:db8::1]:80"),
    (b"http://app/http:/b", b"/http:/b", [b"http:", b"b"], b"app"),
]


@pytest.mark.parametrize(("raw", "origin_form", "segments", "authority"), ABSOLUTE, ids=lambda value: repr(value)[:40])
def test_an_absolute_uri_is_matched_by_its_path_and_sets_the_host(
    raw: bytes, origin_form: bytes, segments: list[bytes], authority: bytes
) -> None:
    """RFC 9112 §3.2.2; the origin form is forwarded, whatever Host says."""
    target = parse(raw)
    assert (target.origin_form, target.segments, target.authority) == (origin_form, segments, authority)


def test_an_error_names_the_part_and_never_the_value() -> None:
    """A path may contain data that must not be logged."""
    for raw in (b"/s3cret/../../x", b"/s3cret\x00", b"/s3cret%00", b"s3cret", b"http://s3cret@app/", b"/a?s3cret\x00"):
        with pytest.raises(MalformedRequestError) as error:
            parse(raw)
        assert error.value.part == "request target"
        assert "s3cret" not in str(error.value)


_PIECES = [
    *(b"/", b"//", b".", b"..", b"...", b";", b"?", b"#", b"%", b"\\", b" ", b"\t", b"\r\n", b"\x00", b"\xff", b"*"),
    *(b"%2e", b"%2E", b"%2f", b"%5C", b"%00", b"%3b", b"%25", b"%3F", b"%23", b"%20", b"%c3%a9", b"%C0%AE", b"%41"),
    *(b"a", b"admin", b"public", b"{x}", b"**", b"http://", b"https://app", b"app:80", b"@", b":", b"&", b"=", b"~"),
]
_RAW = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda tail: b"/" + tail),
    st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join),
    st.lists(st.sampled_from(_PIECES), max_size=12).map(lambda pieces: b"/" + b"".join(pieces)),
)


@given(_RAW)
@example(b"/a?b#c")
@example(b"http://app")
def test_the_forwarded_target_means_what_was_matched(raw: bytes) -> None:
    """Any bytes are refused, or forwarded unchanged with the meaning that was matched, decoded once."""
    try:
        target = parse(raw)
    except MalformedRequestError:
        return
    if target.authority is None:
        assert target.origin_form == raw
    else:
        assert target.origin_form.removeprefix(b"/") in raw
    path, _, query = target.origin_form.partition(b"?")
    assert query == target.query
    assert b"/" + b"/".join(target.segments) == unquote_to_bytes(path)
    assert len(target.segments) == path.count(b"/")
    assert read_path(path) == (target.segments, target.ambiguous)
    assert target.path == path
    assert not set(target.origin_form) & {*range(0x21), *range(0x7F, 256), ord("#")}
    if target.ambiguous:
        return
    for segment in target.segments:
        assert not set(segment) & {*range(0x20), 0x7F, *b"/\\?#;%"}
        assert not segment or segment.strip(b". ")
        assert not set(segment.decode("utf-8")) & {*map(chr, range(0x80, 0xA0))}
    assert b"" not in target.segments[:-1]
