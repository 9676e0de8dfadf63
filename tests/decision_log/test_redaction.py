"""Request IDs and paths in decision records: none that reveals a secret."""

import re

import pytest

from enforcer.decision_log.redaction import (
    UNKNOWN_CREDENTIALS,
    make_request_id,
    recorded_host,
    recorded_path,
    recorded_segments,
    sent_request_id,
    unread_path,
)

TOKEN = b"0123456789abcdef"
CREDENTIALS = [b"Bearer " + TOKEN]


def lines(*fields: tuple[bytes, bytes]) -> list[bytes]:
    return [piece for name, value in fields for piece in (name, b": ", value, b"\r\n")]


@pytest.mark.parametrize(
    "sent", [b"1", b"0af7651916cd43dd8448eb211c80319c", b"a:b/c+d=e@f.g~h_i-j", b"x" * 128, b"f47ac10b-58cc-4372"]
)
def test_a_plain_id_of_the_clients_is_recorded(sent: bytes) -> None:
    """The client can then be asked for it; a short one reveals nothing, even if it also occurs elsewhere."""
    fields = lines((b"Accept", b"*/*"), (b"x-request-ID", sent))
    assert sent_request_id(fields, b"/countries/1", CREDENTIALS) == sent


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([b"1", b"1"], id="two"),
        pytest.param([b""], id="empty"),
        pytest.param([b"x" * 129], id="too long"),
        pytest.param([b"a b"], id="blank"),
        pytest.param([b'a"b'], id="quote"),
        pytest.param([b"a,b"], id="comma"),
        pytest.param([b"\xe9"], id="not ASCII"),
        pytest.param([b"\x1b[31m"], id="escape"),
        pytest.param([b"a\n"], id="line break"),
        pytest.param([TOKEN], id="the token"),
        pytest.param([TOKEN + b"-1"], id="contains the token"),
        pytest.param([TOKEN[:10]], id="a part of the token"),
        pytest.param([b"secretquery"], id="a part of the query"),
    ],
)
def test_no_other_id_is_recorded(values: list[bytes]) -> None:
    """A refusal then gets a new id; an allowed request needs none."""
    fields = lines(*((b"X-Request-Id", value) for value in values))
    assert sent_request_id(fields, b"/a?token=secretquery", CREDENTIALS) is None


def test_a_new_id_is_random() -> None:
    """16 hexadecimal digits."""
    first, second = make_request_id(), make_request_id()
    assert re.fullmatch(rb"[0-9a-f]{16}", first)
    assert first != second


def test_the_path_is_recorded_without_its_query() -> None:
    """As it was sent."""
    assert recorded_path(b"/a/%62?c=d?e", [b"a", b"b"], CREDENTIALS) == b"/a/%62"
    assert recorded_path(b"/", [b""], ()) == b"/"
    assert recorded_segments(b"/a/%62", 7) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        (b"/a/" + TOKEN, [b"a", TOKEN]),
        (b"/a/x" + TOKEN + b"x", [b"a", b"x" + TOKEN + b"x"]),
        (b"/a/%30123456789abcdef", [b"a", TOKEN]),
        (b"/a/23456789", [b"a", b"23456789"]),
    ],
)
def test_a_path_that_reveals_the_token_is_hidden(target: bytes, segments: list[bytes]) -> None:
    """Whole, encoded or in part; a text too short to reveal anything stays."""
    assert recorded_path(target, segments, CREDENTIALS) == b"/[hidden]"
    assert recorded_path(target, segments, ()) == target
    assert recorded_path(target, segments, [b"Bearer other-token"]) == target
    assert recorded_path(b"/a/abc", [b"a", b"abc"], [b"Bearer abc"]) == b"/a/abc"
    assert recorded_segments(b"/[hidden]", 2) == [b"[hidden]"] * 2


def test_credentials_with_blanks_behind_them_are_compared_without() -> None:
    """The parser of HTTP/1.1 leaves whitespace at the end of a value."""
    assert recorded_path(b"/a/x" + TOKEN, [b"a", b"x" + TOKEN], [b"Bearer " + TOKEN + b" \t"]) == b"/[hidden]"


@pytest.mark.parametrize("credentials", [UNKNOWN_CREDENTIALS, [b"Bearer %d" % number for number in range(9)]])
def test_nothing_is_recorded_beside_more_credentials_than_are_compared(credentials: list[bytes]) -> None:
    """Comparing all would be work that clients choose."""
    assert recorded_path(b"/a", [b"a"], credentials) == b"/a" if len(credentials[0]) else b"/[hidden]"
    assert recorded_path(b"/a/12345678", [b"a", b"12345678"], credentials) == b"/[hidden]"
    assert unread_path(b"//12345678", credentials) == b"/[hidden]"
    assert recorded_host(b"app.example", credentials) == b""
    assert sent_request_id(lines((b"X-Request-Id", b"12345678")), b"/a", credentials) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a//b?query=secret", b"/a//b"),
        (b"/a#fragment", b"/a"),
        (b"http://elsewhere/a", b"/a"),
        (b"http://user:" + TOKEN + b"@elsewhere/a//b", b"/a//b"),
        (b"http://" + TOKEN, b""),
        (b"http://" + TOKEN + b"?/a", b""),
        (b"ftp://" + TOKEN + b"/a", b"/a"),
        (b"urn:" + TOKEN, b""),
        (TOKEN + b":443", b""),
        (b"*", b""),
        (b"/a%252Fb", b"/a%252Fb"),
        (b"/caf\xe9/\x1b[2J \\", b"/caf\\xe9/\\x1b[2J\\x20\\"),
        (b"/" + b"a" * 300, b"/" + b"a" * 255),
        (b"", b""),
    ],
)
def test_the_beginning_of_a_path_that_was_not_read_is_recorded_as_text(target: bytes, path: bytes) -> None:
    """Without authority, query and fragment, in printable ASCII, at most 256 bytes."""
    assert unread_path(target, ()) == path
    assert unread_path(target, CREDENTIALS) == path


@pytest.mark.parametrize(
    "target",
    [
        b"//" + TOKEN,
        b"/a//x" + TOKEN,
        b"http://elsewhere/" + TOKEN,
        b"/a//%30123456789abcdef",
        b"/a/%2530123456789abcdef",
        b"/a/%252530123456789abcdef",
        b"/a/%25252530123456789abcdef",
        b"/a/%%330123456789abcdef",
        b"/a/" + b"%2561" * 200,
        b"/" + b"a" * 250 + TOKEN,
        b"/" + b"a" * 250 + TOKEN.replace(b"0", b"%2530") + b"a" * 250,
    ],
)
def test_a_path_that_was_not_read_is_hidden_if_it_reveals_the_token(target: bytes) -> None:
    """Also if only a part of the token would be shown."""
    assert unread_path(target, CREDENTIALS) == b"/[hidden]"


def test_a_token_with_an_encoded_slash_is_hidden_in_a_path_that_was_not_read() -> None:
    """RFC 6750 §2.1: a token may contain slashes, so a part between two of them may be too short to reveal it."""
    assert unread_path(b"/a/0123456%2F89abcde", [b"Bearer 0123456/89abcde"]) == b"/[hidden]"
