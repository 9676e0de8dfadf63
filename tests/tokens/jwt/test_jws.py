"""The compact serialization of a JWS (RFC 7515 §7.1), read strictly."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.tokens.jwt.jws import MAX_BYTES, Jws, decode, encode, looks_like_jwt, parse, unverified_issuer

# RFC 7515 A.1.1
TOKEN = (
    b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)


def token(header: object, payload: bytes = b"{}") -> bytes:
    return b".".join(map(encode, (json.dumps(header).encode(), payload, b"signature")))


def test_the_example_of_the_rfc_is_parsed() -> None:
    """RFC 7515 A.1: header, payload, signed data, and signature."""
    jws = parse(TOKEN)
    assert jws is not None
    assert jws.header == {"typ": "JWT", "alg": "HS256"}
    assert jws.payload == b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
    assert jws.signed == TOKEN.rpartition(b".")[0]
    assert len(jws.signature) == 32


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"..", id="three empty parts"),
        pytest.param(TOKEN.rpartition(b".")[0], id="two parts"),
        pytest.param(TOKEN + b".", id="four parts"),
        pytest.param(TOKEN + b".a.b", id="five parts, as an encrypted one has"),
        pytest.param(TOKEN + b"=", id="padding"),
        pytest.param(TOKEN.replace(b".", b"=.", 1), id="padding of the header"),
        pytest.param(TOKEN[:-1] + b"l", id="bits left over: the same signature, spelt in another way"),
        pytest.param(TOKEN.replace(b"-", b"+"), id="base64, not base64url"),
        pytest.param(TOKEN.replace(b"_", b"/"), id="base64, not base64url, the other letter"),
        pytest.param(TOKEN + b"\n", id="line break at the end"),
        pytest.param(b" " + TOKEN, id="blank before it"),
        pytest.param(TOKEN[:10] + b"\n" + TOKEN[10:], id="line break within"),
        pytest.param(TOKEN + b"AA", id="letters that make no byte"),
        pytest.param(encode(b"{}") + b".A.A", id="parts of a single letter"),
        pytest.param(token([]), id="header is a list"),
        pytest.param(b".".join(map(encode, (b'{"alg":"none","alg":"ES256"}', b"{}", b""))), id="alg twice"),
        pytest.param(b".".join(map(encode, (b"\xff", b"{}", b""))), id="header is not UTF-8"),
        pytest.param(b".".join(map(encode, (b"[" * 9999, b"{}", b""))), id="header is a bomb"),
        pytest.param(token({"alg": "ES256", "x": "x" * MAX_BYTES}), id="huge header"),
        pytest.param(token({"alg": "ES256"}, b"x" * MAX_BYTES), id="huge payload"),
    ],
)
def test_anything_else_is_not_a_jws(other: bytes) -> None:
    """RFC 7515 §5.2; a token has one spelling, so that its cache entry is found."""
    assert parse(other) is None


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": None},
        {"crit": "alg"},
        {"b64": False},
        {"b64": None},
        {"b64": 0},
        {"b64": "true"},
    ],
)
def test_a_critical_extension_is_not_ignored(header: dict[str, object]) -> None:
    """RFC 7515 §4.1.11, RFC 7797 §6: no extension is supported."""
    assert parse(token({"alg": "ES256", **header})) is None


def test_a_token_at_the_size_limit_is_parsed() -> None:
    """One byte more is too large."""
    room = MAX_BYTES - len(token({"alg": "ES256"}, b""))
    largest = token({"alg": "ES256"}, b"x" * (room * 3 // 4))
    assert len(largest) == MAX_BYTES
    assert parse(largest) is not None


def test_unknown_header_members_are_kept() -> None:
    """RFC 7515 §4: members that are not understood are ignored."""
    header = {"alg": "ES256", "b64": True, "jku": "https://evil.example", "x": {"y": [1]}}
    jws = parse(token(header))
    assert jws is not None
    assert jws.header == header


def test_repr_shows_nothing_of_a_token() -> None:
    """Because it ends up in logs."""
    shown = repr(parse(TOKEN))
    assert not any(part in shown for part in ("joe", "HS256", "eyJ"))


# RFC 4648 §10, RFC 7515 appendix C
@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", b""), (b"f", b"Zg"), (b"fo", b"Zm8"), (b"foo", b"Zm9v"), (bytes([3, 236, 255, 224, 193]), b"A-z_4ME")],
)
def test_base64url_has_no_padding(data: bytes, text: bytes) -> None:
    """RFC 7515 §2."""
    assert encode(data) == text
    assert decode(text) == data


@given(st.binary())
def test_base64url_text_has_one_spelling(data: bytes) -> None:
    """If one letter changes, the text is other data or invalid."""
    text = encode(data)
    assert decode(text) == data
    for letter in b"AB_=+\n":
        other = text[:-1] + bytes([letter])
        if other != text:
            with suppress(ValueError):
                assert decode(other) != data


@given(st.binary() | st.lists(st.binary().map(encode), min_size=3, max_size=3).map(b".".join))
@example(b"\xff.\x00.")
def test_any_bytes_are_a_jws_or_not(data: bytes) -> None:
    """No exception."""
    assert isinstance(parse(data), Jws | None)


@pytest.mark.parametrize(
    "signed",
    [
        TOKEN,
        token({"alg": "ES256"}),
        encode(json.dumps({"alg": "none"}).encode()) + b".e30.",
        encode(b'{\n"alg": "HS256"}') + b".." + encode(b"x"),
    ],
)
def test_a_jwt_is_recognised(signed: bytes) -> None:
    """Also an invalid one: it is rejected here, and no server sees it."""
    assert looks_like_jwt(signed)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"..",
        b"e..",
        b"opaque",
        b"e" * 128,
        b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        encode(b"{}") + b".e30.",
        encode(b"[]") + b".e30.",
        encode(json.dumps({"alg": 1}).encode()) + b".e30.",
        encode(json.dumps({"enc": "A256GCM"}).encode()) + b".e30.",
        TOKEN + b".x.y",
        TOKEN + b"=",
        TOKEN.replace(b".", b"~"),
        token({"alg": "ES256"}, b"x" * MAX_BYTES),
    ],
)
def test_an_opaque_token_is_not_taken_for_a_jwt(other: bytes) -> None:
    """RFC 7519 §3, §7.2."""
    assert not looks_like_jwt(other)


def test_the_claimed_issuer_chooses_the_verifier() -> None:
    """It is read before the signature is verified."""
    assert unverified_issuer(TOKEN) == "joe"
    assert unverified_issuer(b"." + encode(json.dumps({"iss": "x"}).encode()) + b".") == "x"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"iss":1}', b'{"iss":["x"]}', b'{"iss":"x","iss":"y"}', b"[" * 9999]
)
def test_an_unreadable_issuer_is_absent(payload: bytes) -> None:
    """An issuer is text, and the member occurs once."""
    assert unverified_issuer(token({"alg": "ES256"}, payload)) is None


def test_a_token_that_is_not_a_jwt_has_no_issuer() -> None:
    """Nor has a token that is too large to parse."""
    for other in (b"", b"opaque", b"a.b", TOKEN + b".x", token({"alg": "ES256"}, b"x" * MAX_BYTES)):
        assert unverified_issuer(other) is None


@given(st.binary() | st.tuples(st.binary(), st.binary()).map(lambda parts: b".".join(map(encode, (*parts, b"x")))))
def test_any_bytes_have_an_issuer_or_none(data: bytes) -> None:
    """No exception."""
    assert isinstance(looks_like_jwt(data), bool)
    assert isinstance(unverified_issuer(data), str | None)
