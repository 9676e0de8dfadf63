"""Introspection responses (RFC 7662 §2.2), read strictly."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.response import INACTIVE, NEVER, ActiveToken, InactiveToken, from_claims, parse

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
    assert (result.not_before, result.expires) == (1419350238, 1419356238)
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
    assert (result.not_before, result.expires, result.bound) == (-math.inf, NEVER, False)


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


TIMES = [
    ("1700000000", 1700000000.0),
    ('"1700000000"', 1700000000.0),
    ("1700000000.5", 1700000000.5),
    ("1.5", 1.5),
    ("1.7e9", 1700000000.0),
    ("-1", -1.0),
    ('"-1"', -1.0),
    ("0", 0.0),
    ("999999999999999", 999999999999999.0),
]


@pytest.mark.parametrize(("written", "time"), TIMES)
def test_a_time_may_be_a_number_or_a_string_of_digits(written: str, time: float) -> None:
    """RFC 7519 §2 allows fractions; many servers send strings. A time before 1970 is in the past, not an error."""
    result = read(b'{"active": true, "exp": %b, "nbf": %b}' % (written.encode(), written.encode()))
    assert (result.expires, result.not_before) == (time, time)


@pytest.mark.parametrize("member", ["exp", "nbf"])
@pytest.mark.parametrize(
    "written",
    [
        *("1e300", "1e999", "-1e999", "1000000000000000", "1" + "0" * 400, "true", "false", "[]", "{}", "[1700000000]"),
        *('""', '"soon"', '"1.5"', '"1e9"', '" 1700000000"', '"1700000000\\n"', '"0x10"', '"1_000"', '"+5"', '"٣"'),
        *('"Infinity"', '"nan"', '"2026-01-01T00:00:00Z"', '"' + "9" * 16 + '"'),
    ],
)
def test_an_invalid_time_is_malformed_and_never_infinite(member: str, written: str) -> None:
    """mod_auth_openidc 2026: an expiry that cannot be read must not become "never"."""
    refused(f'{{"active": true, "{member}": {written}}}'.encode())


def test_a_null_member_counts_as_absent() -> None:
    """Some servers always send all members."""
    nulls = dict.fromkeys(("exp", "nbf", "scope", "aud", "iss", "sub", "client_id", "cnf"))
    result = read(answer(**nulls))
    assert (result.expires, result.not_before, result.bound) == (NEVER, -math.inf, False)
    assert (result.scopes, result.audience) == (frozenset(), frozenset())
    assert (result.issuer, result.subject, result.client_id) == (None, None, None)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("read", {"read"}),
        ("read write", {"read", "write"}),
        ("  read   write ", {"read", "write"}),
        (["read", "write"], {"read", "write"}),
        ("", set()),
        ([], set()),
        ("read read", {"read"}),
        ("READ", {"READ"}),
        ("https://www.example.org/auth/read urn:x:y", {"https://www.example.org/auth/read", "urn:x:y"}),
        ("read,write", {"read,write"}),
        ("read\twrite", set()),
        ("read\u00a0write", set()),
        ('read "write" a\\b', {"read"}),
        ("read\nadmin", set()),
        ("réad admin", {"admin"}),
        (["read write"], set()),
        (["read", ""], {"read"}),
    ],
)
def test_a_scope_is_a_string_split_at_spaces_or_a_list_of_strings(scope: Any, scopes: set[str]) -> None:
    """RFC 6749 §3.3: text outside the grammar of scopes can be in no rule, and is left out."""
    assert read(answer(scope=scope)).scopes == scopes


@pytest.mark.parametrize("audience", ["a", ["a"], ["a", "b"], [], ["a", "a"], "a b", ["a b", ""]])
def test_an_audience_is_a_string_or_a_list_of_strings(audience: str | list[str]) -> None:
    """RFC 7519 §4.1.3: a string is never split."""
    assert read(answer(aud=audience)).audience == set([audience] if isinstance(audience, str) else audience)


@pytest.mark.parametrize("value", [1, True, 1.5, {}, {"a": "b"}, [1], ["a", None], [["a"]], ["a", 1]])
@pytest.mark.parametrize("member", ["scope", "aud"])
def test_a_scope_or_audience_of_another_type_is_malformed(member: str, value: Any) -> None:
    """No part of it is used."""
    refused(answer(**{member: value}))


@pytest.mark.parametrize("value", [1, True, False, 1.5, {}, [], ["root"]])
@pytest.mark.parametrize("member", ["sub", "client_id", "iss"])
def test_a_subject_client_or_issuer_that_is_not_a_string_is_malformed(member: str, value: Any) -> None:
    """It is not converted to text."""
    refused(answer(**{member: value}))


@pytest.mark.parametrize("cnf", [{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {}, "x", False, 0, []])
def test_a_token_with_a_confirmation_is_bound(cnf: Any) -> None:
    """RFC 7800: also if the confirmation is not understood."""
    assert read(answer(cnf=cnf)).bound


def test_claims_are_immutable_and_not_in_the_repr() -> None:
    """One result serves many requests, and logs must show no personal data."""
    members = {"sub": "a", "email": "s3cret@example.org"}
    result = from_claims(members)
    members["sub"] = "root"
    assert result.claims["sub"] == "a"
    with pytest.raises(TypeError):
        result.claims["sub"] = "root"  # type: ignore[index]
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize("exp", [math.nan, math.inf, -math.inf])
def test_claims_of_a_jwt_follow_the_same_rules(exp: float) -> None:
    """A signed token is parsed with another reader."""
    with pytest.raises(IntrospectionError):
        from_claims({"exp": exp})


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
    scope = said.get("scope") or []
    assert result.scopes <= set(scope.split(" ") if isinstance(scope, str) else scope)
    assert result.audience == set([said["aud"]] if isinstance(said.get("aud"), str) else said.get("aud") or [])
    for value, member in ((result.expires, "exp"), (result.not_before, "nbf")):
        assert math.isinf(value) == (said.get(member) is None)
        assert said.get(member) is None or value == float(said[member])
    assert (result.subject, result.client_id, result.issuer) == (
        said.get("sub"),
        said.get("client_id"),
        said.get("iss"),
    )
    assert result.bound == (said.get("cnf") is not None)


@pytest.mark.parametrize(
    "members",
    [{"token_use": "refresh_token"}, {"token_use": "id_token"}, {"typ": "Refresh"}, {"typ": "ID"}, {"typ": "Offline"}],
)
def test_only_an_access_token_is_active(members: dict[str, str]) -> None:
    """A refresh or ID token may be active at the server, but gives no access here."""
    assert parse(json.dumps({"active": True, "scope": "read", **members}).encode()) is INACTIVE


@pytest.mark.parametrize("members", [{"token_use": "access_token"}, {"typ": "Bearer"}, {"typ": ["Refresh"]}, {}])
def test_a_token_of_unnamed_type_is_an_access_token(members: dict[str, object]) -> None:
    """Most servers do not name the type."""
    assert isinstance(parse(json.dumps({"active": True, **members}).encode()), ActiveToken)
