"""The access token of a request, from Authorization (RFC 6750 §2.1, RFC 9449 §7.1)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.tokens.bearer import DPoPToken, NoToken, parse

MISSING, INVALID, MALFORMED = NoToken.MISSING, NoToken.INVALID_REQUEST, NoToken.MALFORMED


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer abc", b"abc"),
        (b"BEARER abc", b"abc"),
        (b"bEaReR abc", b"abc"),
        (b"Bearer   abc", b"abc"),
        (b" Bearer abc\t", b"abc"),
        (b"Bearer A-Za-z0-9._~+/==", b"A-Za-z0-9._~+/=="),
        (b"Bearer " + b"x" * 128, b"x" * 128),
        (b"Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"),
        pytest.param(b"Bearer X+Y", b"X+Y", id="njs: a plus is the token's own"),
        pytest.param(b"Bearer " + b"x" * 1_000_000, b"x" * 1_000_000, id="1 MB: its size is checked elsewhere"),
    ],
)
@pytest.mark.parametrize("query", [b"", b"page=2"])
def test_the_token_follows_the_scheme(authorization: bytes, token: bytes, query: bytes) -> None:
    """RFC 9110 §11.4: the scheme's case and the number of spaces do not matter; the token is not changed."""
    assert parse(authorization, 1) == token


@pytest.mark.parametrize(
    "authorization",
    [
        b"Basic dXNlcjpwdw==",
        b"DPoPabc",
        b"DPoP2 abc",
        b"Bearerabc",
        b"Bearer\tabc",
        b"BearerBearer abc",
        b"Token abc",
        b"abc",
        b"",
        b"  ",
        b"\xe2\x80\x83Bearer abc",
    ],
)
def test_another_scheme_counts_as_no_token(authorization: bytes) -> None:
    """The refusal is the same as without credentials."""
    assert parse(authorization, 1) is MISSING


def test_without_the_field_there_is_no_token() -> None:
    """RFC 6750 §3: the challenge has no error code then."""
    assert parse(None, 0) is MISSING


@pytest.mark.parametrize(
    "authorization",
    [
        b"Bearer",
        b"Bearer ",
        b"bearer",
        b"Bearer a b",
        b"Bearer a, Bearer b",
        b'Bearer realm="x", a',
        b"Bearer a Bearer b",
    ],
)
def test_bearer_credentials_that_do_not_parse_are_an_invalid_request(authorization: bytes) -> None:
    """RFC 6750 §3.1."""
    assert parse(authorization, 1) is INVALID


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (b"DPoP abc", b"abc"),
        (b"dpop abc", b"abc"),
        (b" DPOP   abc==\t", b"abc=="),
        (b"DPoP", INVALID),
        (b"DPoP a b", INVALID),
        (b"DPoP a, Bearer b", INVALID),
        (b"DPoP a&b", MALFORMED),
    ],
)
def test_a_token_with_the_dpop_scheme_is_marked(authorization: bytes, expected: bytes | NoToken) -> None:
    """RFC 9449 §7.1: it needs a proof."""
    assert parse(authorization, 1) == DPoPToken(expected)


def test_repr_does_not_show_the_token() -> None:
    """It may be logged."""
    assert "s3cret" not in repr(parse(b"DPoP s3cret", 1))


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("authorization", [b"Bearer abc", b"DPoP abc", b"Basic dXNlcjpwdw==", b""])
def test_more_than_one_field_is_an_invalid_request(authorization: bytes, count: int) -> None:
    """The app might read another one than the enforcer."""
    assert parse(authorization, count) is INVALID


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"X&token=ADM&client_id=evil", id="njs: another parameter"),
        pytest.param(b"X%26token=ADM", id="njs: another parameter, encoded"),
        b"abc\x00",
        b"abc\r",
        b"abc\n",
        b"abc;q=1",
        b"a,b",
        b'"abc"',
        b"=",
        b"==abc",
        b"a=b",
        b"abc=!",
        b"\xc3\xa9",
        b"a\x0bb",
        b"{abc}",
        b"a%20b",
        b"x" * 1_000_000 + b"!",
    ],
)
def test_a_token_outside_the_grammar_is_malformed(token: bytes) -> None:
    """RFC 6750 §2.1: no authorization server can have issued it, so no lookup is made."""
    assert parse(b"Bearer " + token, 1) is MALFORMED
    assert parse(b"bEARER  " + token, 1) is MALFORMED


@given(
    st.one_of(
        st.none(),
        st.binary(max_size=40),
        st.binary(max_size=40).map(lambda tail: b"Bearer " + tail),
        st.text("ABCabc019-._~+/= ,", max_size=20).map(lambda tail: b"bearer " + tail.encode()),
        st.text("ABCabc019-._~+/= ,", max_size=20).map(lambda tail: b"dpop " + tail.encode()),
    ),
    st.integers(0, 2),
)
def test_any_bytes_yield_a_token_within_the_grammar_or_none(authorization: bytes | None, count: int) -> None:
    """The token stood in the only field, unchanged."""
    parsed = parse(authorization, count)
    token = parsed.token if isinstance(parsed, DPoPToken) else parsed
    if isinstance(token, NoToken):
        return
    assert count <= 1
    assert re.fullmatch(rb"[A-Za-z0-9\-._~+/]+=*", token)
    assert authorization is not None
    assert authorization.strip(b" \t").endswith(b" " + token)


@given(st.text("ABCabc019-._~+/", min_size=1, max_size=200), st.integers(0, 3))
def test_each_b64token_is_returned_unchanged(token: str, padding: int) -> None:
    """Opaque or signed, short or long."""
    whole = token.encode() + b"=" * padding
    assert parse(b"Bearer " + whole, 1) == whole
