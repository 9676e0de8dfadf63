"""Grammars and encodings of header field values."""

import base64
import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.wire.fields import (
    FOLD,
    HOST,
    MAX_MEMBERS,
    TOKEN,
    byte_sequence,
    field_value,
    fold,
    host_name,
    is_event_stream,
    parameters,
    parse_tokens,
    quoted_string,
)

# Surrogates too: JSON can write them
_TEXT = st.text(st.characters())
_CONTROL = re.compile(rb"[\x00-\x1f\x7f-\xff]")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (b"", ()),
        (b" , ,\t,", ()),
        (b"close", (b"close",)),
        (b"Keep-Alive", (b"keep-alive",)),
        (b"close, X-Auth-Subject, Authorization", (b"close", b"x-auth-subject", b"authorization")),
        (b",a ,\tb,,c\t", (b"a", b"b", b"c")),
        (b"!#$%&'*+-.^_`|~09az", (b"!#$%&'*+-.^_`|~09az",)),
        (b"a b", None),
        (b"a;q=1", None),
        (b'"a"', None),
        (b"a, b\x00", None),
        (b"a,\x0bb", None),
        (b"a\n", None),
        (b"\xc3\xa9", None),
    ],
)
def test_a_list_of_tokens_is_read_in_lower_case_or_is_invalid(value: bytes, tokens: tuple[bytes, ...] | None) -> None:
    """RFC 9110 §5.6.1: empty members are ignored."""
    assert parse_tokens(value) == tokens


@given(st.binary(max_size=40))
def test_any_bytes_are_a_list_of_tokens_or_invalid(value: bytes) -> None:
    """Each member matches the grammar of a token."""
    tokens = parse_tokens(value)
    assert tokens is None or all(TOKEN.fullmatch(token) for token in tokens)


@pytest.mark.parametrize(
    "host",
    [b"app", b"app.example.org", b"APP:8080", b"127.0.0.1", b"[::1]", b"[2001:db8::1]:443", b"a_b", b"xn--caf-dma.fr"],
)
def test_a_name_or_an_address_with_or_without_a_port_is_a_host(host: bytes) -> None:
    """RFC 9110 §7.2."""
    assert HOST.fullmatch(host)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(b"app/public?x=", id="CVE-2026-48710 Starlette"),
        pytest.param(b"app#", id="fragment"),
        pytest.param(b"user@app", id="userinfo"),
        pytest.param(b"a,b", id="list"),
        pytest.param(b"a b", id="blank"),
        pytest.param(b"a\r\nX: y", id="line break"),
        pytest.param(b"app\n", id="line break at the end"),
        pytest.param(b"app%00", id="percent-encoding"),
        pytest.param(b"app\\", id="backslash"),
        pytest.param(b'"', id="quote"),
        pytest.param(b"", id="nothing"),
        pytest.param(b":80", id="port alone"),
        pytest.param(b"app:", id="empty port"),
        pytest.param(b"app:http", id="port by name"),
        pytest.param(b"app:99999999", id="endless port"),
        pytest.param(b"::1", id="IPv6 without brackets"),
        pytest.param(b"[::1", id="half a bracket"),
        pytest.param(b"[::1%25eth0]", id="zone"),
        pytest.param("é".encode(), id="non-ASCII"),
    ],
)
def test_an_ambiguous_host_is_invalid(host: bytes) -> None:
    """Host is forwarded unchanged, and written into X-Forwarded-Host and Forwarded."""
    assert HOST.fullmatch(host) is None


@pytest.mark.parametrize(
    "spelling",
    ["X-Auth-Subject", "x-auth-subject", "X_Auth_Subject", "X_AUTH-SUBJECT", "x.auth.subject", "X~Auth!Subject"],
)
def test_spellings_that_an_app_may_merge_fold_to_the_same_name(spelling: str) -> None:
    """CVE-2025-64484 oauth2-proxy, CVE-2026-39858 Traefik."""
    assert fold(spelling) == b"x-auth-subject"


@given(st.binary(max_size=40))
def test_a_folded_name_has_only_lower_case_letters_digits_and_hyphens(name: bytes) -> None:
    """Names that are equal in CGI fold to the same name; folding is idempotent."""
    folded = name.translate(FOLD)
    assert re.fullmatch(rb"[a-z0-9-]*", folded)
    assert folded.translate(FOLD) == folded
    as_cgi_sees_it = re.sub(rb"[^A-Z0-9]", b"_", name.upper())
    assert as_cgi_sees_it.translate(FOLD) == folded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("alice", b"alice"),
        ("", b""),
        ('Ms. O\'Neil (staff) <a@b.c>; q="1", *', b'Ms. O\'Neil (staff) <a@b.c>; q="1", *'),
        ("100%", b"100%25"),
        ("a%0d%0ab", b"a%250d%250ab"),
        pytest.param("a\r\nX-Auth-Scope: admin", b"a%0D%0AX-Auth-Scope: admin", id="CVE-2020-7695 uvicorn: CR LF"),
        pytest.param("\x1b[31m", b"%1B[31m", id="CVE-2020-7695 uvicorn: ESC"),
        pytest.param("zoë 東", b"zo%C3%AB %E6%9D%B1", id="CVE-2020-7695 uvicorn: non-latin1"),
        ("\x00\x7f\x85", b"%00%7F%C2%85"),
        ("a\tb", b"a%09b"),
        (" root ", b"%20root%20"),
        ("   ", b"%20%20%20"),
        ("\u2028", b"%E2%80%A8"),
        ("\ud800", b"%ED%A0%80"),
    ],
)
def test_any_text_is_encoded_as_one_field_value(text: str, value: bytes) -> None:
    """Printable ASCII stays; everything else is percent-encoded UTF-8."""
    assert field_value(text) == value


@given(_TEXT)
@example("\ud800?")
def test_different_texts_have_different_field_values(text: str) -> None:
    """The value can be decoded, so that no subject passes for another; no parser strips or splits it."""
    value = field_value(text)
    assert not _CONTROL.search(value)
    assert value.strip() == value
    assert unquote(value.decode("ascii"), errors="surrogatepass") == text


@given(_TEXT)
def test_a_quoted_string_reads_back_as_its_text_or_is_refused(text: str) -> None:
    """RFC 9110 §5.6.4: it has no control byte and no quote that ends it early."""
    try:
        quoted = quoted_string(text)
    except ValueError:
        assert not (text.isascii() and text.isprintable())
        return
    inner = re.fullmatch(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"', quoted)
    assert inner is not None
    assert re.sub(r"\\(.)", r"\1", inner[1]) == text


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_a_byte_sequence_is_read(data: bytes) -> None:
    """RFC 9651 §4.2.7; blanks around it are ignored."""
    written = b":%b:" % base64.b64encode(data)
    assert byte_sequence(written) == byte_sequence(b" %b\t" % written) == data


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b":", b"YWJj", b":YWJj", b"YWJj:", b":YWJj:, :YWJj:", b":YWJj:;a=1", b'"YWJj"', b":YW Jj:", b":YWJ:"),
        *(b":YW-_:", b"::::", b":%59WJj:", b":YWJj\n:", b":\xff:", b":-----BEGIN CERTIFICATE-----:", b"YWJj::"),
    ],
)
def test_an_invalid_byte_sequence_is_not_read(value: bytes) -> None:
    """No character is skipped or guessed."""
    assert byte_sequence(value) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_byte_sequence_or_invalid(value: bytes) -> None:
    """No exception."""
    assert byte_sequence(value) is None or value.strip(b" \t").startswith(b":")


@pytest.mark.parametrize("text", ["a\r\nb", "a\tb", "\x00", "\x7f", "é", "\u2028", "\ud800"])
def test_text_that_cannot_be_quoted_is_an_error(text: str) -> None:
    """The check of the configuration reports it earlier."""
    with pytest.raises(ValueError):
        quoted_string(text)


def test_each_parameter_is_quoted_and_the_order_kept() -> None:
    """RFC 9110 §11.2."""
    assert parameters([("realm", 'a "b"\\'), ("scope", "x y")]) == r'realm="a \"b\"\\", scope="x y"'
    assert parameters([]) == ""


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"app", b"app"),
        (b"App.Example.:80", b"app.example"),
        (b"app:80", b"app"),
        (b"[::1]:80", b"[::1]"),
        (b"[::1]", b"[::1]"),
        (b"", b""),
        (b"127.0.0.1:1", b"127.0.0.1"),
    ],
)
def test_the_name_in_a_host_field_has_no_port_and_no_final_dot(host: bytes, name: bytes) -> None:
    """RFC 9110 §7.2, RFC 3986 §3.2.2."""
    assert host_name(host) == name


def test_a_list_of_more_tokens_than_a_message_has_fields_is_not_read() -> None:
    """A client chooses how many there are, and each costs a look-up."""
    assert len(parse_tokens(b",".join([b"a"] * MAX_MEMBERS)) or ()) == MAX_MEMBERS
    assert parse_tokens(b",".join([b"a"] * (MAX_MEMBERS + 1))) is None
    assert parse_tokens(b"," * MAX_MEMBERS) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream ; charset=utf-8", True),
        (b"text/event-streams", False),
        (b"text/plain; text/event-stream", False),
    ],
)
def test_an_event_stream_is_known_by_its_media_type(value: bytes, expected: bool) -> None:
    """Its parameters do not matter."""
    lines = [b"Date", b": ", b"x", b"\r\n", b"content-Type", b": ", value, b"\r\n"]
    assert is_event_stream(lines) is expected
    assert not is_event_stream(lines[:4])
