"""Introspection responses (RFC 7662 §2.2), read strictly."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import NEVER, ActiveToken
from enforcer.tokens.introspection.response import InactiveToken, parse

# RFC 7662 §2.2
FULL = {
    "active": True,
    "client_id": "l238j323ds-23ij4",
    "username": "jdoe",
    "scope": "read write dolphin",
    "sub": "Z5O3upPC88QrAjx00dis",
    "aud": "https://protected.example.net/resource",
    "iss": "https://server.example.com/",
    "exp": 1419356238,
    "iat": 1419350238,
    "nbf": 1419350238,
    "extension_field": "twenty-seven",
}


def answer(**members: Any) -> bytes:
    return json.dumps({"active": True, **members}).encode()


def read(body: bytes) -> ActiveToken:
    result = parse(body)
    assert isinstance(result, ActiveToken)
    return result


def refused(body: bytes) -> str:
    with pytest.raises(IntrospectionError) as error:
        parse(body)
    assert error.value.reason is IntrospectionFailure.MALFORMED
    return str(error.value)


def test_the_example_of_the_rfc_is_read() -> None:
    """RFC 7662 §2.2; each member is kept as a claim."""
    result = read(json.dumps(FULL).encode())
    assert result.scopes == {"read", "write", "dolphin"}
    assert result.expires == 1419356238
    assert (result.subject, result.client_id) == ("Z5O3upPC88QrAjx00dis", "l238j323ds-23ij4")
    assert (result.issuer, result.audience) == (
        "https://server.example.com/",
        frozenset({"https://protected.example.net/resource"}),
    )
    assert not result.bound
    assert dict(result.claims) == FULL


def test_a_response_with_only_active_has_no_scope_audience_or_subject() -> None:
    """RFC 7662 §2.2: all other members are optional."""
    result = read(b'{"active": true}')
    assert (result.scopes, result.audience) == (frozenset(), frozenset())
    assert (result.subject, result.client_id, result.issuer) == (None, None, None)
    assert (result.expires, result.bound) == (NEVER, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"active": false}',
        b'{"active": false, "scope": 1, "exp": "x", "aud": {}}',
        b'\xef\xbb\xbf{"active":false}',
        b' \r\n{"active" : false}\n',
        b'{"sub": "a", "active": false}',
    ],
)
def test_an_inactive_token_is_inactive_whatever_the_other_members(body: bytes) -> None:
    """They are not read."""
    assert isinstance(parse(body), InactiveToken)


MALFORMED = {
    "active as true in words": b'{"active": "true"}',
    "active as 1": b'{"active": 1}',
    "active as 1.0": b'{"active": 1.0}',
    "active as a list": b'{"active": [true]}',
    "active as null": b'{"active": null}',
    "active as 0": b'{"active": 0}',
    "active as false in words": b'{"active": "false"}',
    "active missing": b'{"sub": "a", "scope": "admin"}',
    "active in another case": b'{"Active": true}',
    "active twice": b'{"active": false, "active": true}',
    "scope twice": b'{"active": true, "scope": "read", "scope": "admin"}',
    "a member twice, spelt in two ways": b'{"active": true, "sub": "a", "s\\u0075b": "root"}',
    "a nested member twice": b'{"active": true, "realm": {"role": "a", "role": "admin"}}',
    "HTML with 200": b"<!doctype html><title>Log in</title>",
    "nothing": b"",
    "blanks": b" \n",
    "only a BOM": b"\xef\xbb\xbf",
    "true": b"true",
    "null": b"null",
    "a string": b'"active"',
    "a list": b'[{"active": true}]',
    "a JWT (RFC 9701)": b"eyJhbGciOiJFUzI1NiJ9.eyJhY3RpdmUiOnRydWV9.c2ln",
    "two objects": b'{"active": true}{"active": true}',
    "half an object": b'{"active": true, "scope": "re',
    "single quotes": b"{'active': true}",
    "a comma too many": b'{"active": true,}',
    "a comment": b'{"active": true} // yes',
    "NaN": b'{"active": true, "exp": NaN}',
    "Infinity": b'{"active": true, "exp": Infinity}',
    "-Infinity": b'{"active": true, "nbf": -Infinity}',
    "NaN in a claim": b'{"active": true, "x": {"y": [NaN]}}',
    "UTF-16": '{"active": true}'.encode("utf-16"),
    "latin-1": '{"active": true, "sub": "é"}'.encode("latin-1"),
    "a raw line break in a string": b'{"active": true, "sub": "a\nb"}',
    "nested without end": b"[" * 100_000,
    "nested deep": b'{"active": true, "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number without end": b'{"active": true, "exp": ' + b"9" * 60_000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_response_without_a_boolean_active_is_malformed(body: bytes) -> None:
    """mod_auth_openidc 2026: it must neither crash the reader nor make a token active."""
    refused(body)


def test_an_error_shows_nothing_of_the_response() -> None:
    """It may contain the token itself."""
    for body in (b"s3cret", b'{"s3cret": 1}', b'{"active": "s3cret"}', answer(sub=["s3cret"]), answer(exp="s3cret")):
        assert "s3cret" not in refused(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(["active", "scope", "exp", "nbf", "aud", "iss", "sub", "client_id", "cnf", "x"])
_BODIES = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=40).map(lambda inside: b'{"active":true,%b}' % inside),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(_NAMES, _JSON | st.just(True), max_size=8).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(_NAMES, _JSON, max_size=8).map(lambda value: answer(**value)),
)


@given(_BODIES)
@example(b'{"active":true,"exp":1e15}')
def test_any_bytes_are_a_response_or_malformed(body: bytes) -> None:
    """No other exception; a token is active only if `active` is true and each value was read."""
    try:
        result = parse(body)
    except IntrospectionError as error:
        said = None
        reason: IntrospectionFailure | None = error.reason
    else:
        said = json.loads(body.decode("utf-8-sig"))
        reason = None
    assert reason in (None, IntrospectionFailure.MALFORMED)
    if said is None:
        return
    if isinstance(result, InactiveToken):
        assert said["active"] is False
        return
    assert said["active"] is True
    assert result.issuer == said.get("iss")
    assert (result.expires == NEVER) == (said.get("exp") is None)
    assert result.bound == (said.get("cnf") is not None)
