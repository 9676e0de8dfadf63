"""Signed introspection responses (RFC 9701), with keys in memory."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from harness.outcomes import outcome_of
from harness.signing import AnyKey, key, public, sign
from harness.verification import DOWN, FakeKeys
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.jwt_introspection import MAX_AGE, ExpectedResponse, JwtReader, error_of, verify
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.jwt.fault import JwtFault
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.tokens.jwt.jws import encode
from enforcer.tokens.jwt.jwt import NeedsKey
from enforcer.wire.callback import Callback

NOW = 1_700_000_000.0
ISSUER = "https://as.example"
FIRST, SECOND = key("ES256", 1), key("ES256", 2)
EXPECTED = ExpectedResponse(issuer=ISSUER, client_id="me", algorithms=("ES256",), clock_skew=5.0)
HEADER: dict[str, Any] = {"alg": "ES256", "typ": "token-introspection+jwt", "kid": "first"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "me",
    "iat": int(NOW),
    "token_introspection": {"active": True, "sub": "joe", "scope": "read"},
}


def key_set(**keys: AnyKey) -> KeySet:
    return parse(json.dumps({"keys": [public(one, kid=kid) for kid, one in keys.items()]}).encode())


KEYS = key_set(first=FIRST)


def answer(header: dict[str, Any] | None = None, private: AnyKey = FIRST, **claims: Any) -> bytes:
    return sign({**HEADER, **(header or {})}, {**CLAIMS, **claims}, private, "ES256")


def refused(data: bytes) -> str:
    with pytest.raises(IntrospectionError) as error:
        verify(data, KEYS, EXPECTED, NOW)
    assert error.value.reason is IntrospectionFailure.MALFORMED
    return error.value.detail.removeprefix("its signed response: ")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["x", "me"]},
        {"iat": NOW - MAX_AGE},
        {"iat": NOW + 5},
        {"iat": NOW - 0.5},
        {"header": {"typ": "application/token-introspection+jwt"}},
    ],
)
def test_a_signed_introspection_response_is_read(changes: dict[str, Any]) -> None:
    """RFC 9701 §5: recently signed, with the result in its own member."""
    outcome = verify(answer(**changes), KEYS, EXPECTED, NOW)
    assert isinstance(outcome, ActiveToken)
    assert (outcome.subject, outcome.scopes) == ("joe", frozenset({"read"}))


def test_an_inactive_token_has_a_signed_response_too() -> None:
    """The signature covers this result as well."""
    assert verify(answer(token_introspection={"active": False}), KEYS, EXPECTED, NOW) is INACTIVE


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        pytest.param(b'{"active": true}', "malformed", id="not signed at all"),
        pytest.param(b"<html>", "malformed", id="a page"),
        pytest.param(b"", "malformed", id="nothing"),
        pytest.param(answer({"typ": "at+jwt"}), "wrong_typ", id="an access token"),
        pytest.param(answer({"typ": "JWT"}), "wrong_typ", id="any JWT"),
        pytest.param(answer({"alg": "none"}), "wrong_algorithm", id="none"),
        pytest.param(answer({"alg": "ES384"}), "wrong_algorithm", id="an algorithm that is not allowed"),
        pytest.param(answer({"alg": ["ES256"]}), "wrong_algorithm", id="a list of algorithms"),
        pytest.param(answer(iss="https://other"), "wrong_issuer", id="of another issuer"),
        pytest.param(answer(iss=None), "wrong_issuer", id="of nobody"),
        pytest.param(answer(aud="you"), "wrong_audience", id="for another client"),
        pytest.param(answer(aud=None), "wrong_audience", id="for nobody"),
        pytest.param(answer(aud={"me": 1}), "wrong_audience", id="for something else"),
        pytest.param(answer(iat=NOW - MAX_AGE - 1), "expired", id="old: given to another question"),
        pytest.param(answer(iat=NOW + 6), "not_yet_valid", id="from the future"),
        pytest.param(answer(iat=None), "malformed_claims", id="of no time"),
        pytest.param(answer(iat=True), "malformed_claims", id="invalid time"),
        pytest.param(answer(token_introspection=None), "malformed_claims", id="without an answer"),
        pytest.param(answer(token_introspection=[True]), "malformed_claims", id="invalid response"),
        pytest.param(answer(active=True, token_introspection="x"), "malformed_claims", id="at the wrong place"),
    ],
)
def test_anything_else_is_malformed(data: bytes, fault: str) -> None:
    """It never makes the token inactive."""
    assert refused(data) == fault


@pytest.mark.parametrize("members", [{}, {"active": "true"}, {"active": 1}, {"active": True, "exp": "soon"}])
def test_a_signed_response_is_read_as_strictly_as_an_unsigned_one(members: dict[str, Any]) -> None:
    """The signature does not make a malformed member valid."""
    with pytest.raises(IntrospectionError):
        verify(answer(token_introspection=members), KEYS, EXPECTED, NOW)


def test_an_unknown_key_may_be_a_new_one() -> None:
    """The key source looks for it."""
    unknown, wrong = answer({"kid": "second"}, SECOND), answer(private=SECOND)
    for data, fault in ((unknown, JwtFault.KEY), (wrong, JwtFault.SIGNATURE)):
        outcome = verify(data, KEYS, EXPECTED, NOW)
        assert isinstance(outcome, NeedsKey)
        assert outcome.otherwise is fault
        assert error_of(outcome).detail == f"its signed response: {fault}"


def read(data: bytes, keys: FakeKeys) -> IntrospectionOutcome:
    reader = JwtReader(keys, EXPECTED, lambda: NOW)

    def call(callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        return reader.read(data, callback)

    return outcome_of(call)


def test_keys_are_refreshed_once_if_none_fits() -> None:
    """If there are no keys yet, the result waits for them."""
    both = key_set(first=FIRST, second=SECOND)
    by_second = answer({"kid": "second"}, SECOND)
    for keys, data, renewals in (
        (FakeKeys(KEYS, DOWN), answer(), 0),
        (FakeKeys(KEYS, both), by_second, 1),
        (FakeKeys(None, both), by_second, 1),
    ):
        assert isinstance(read(data, keys), ActiveToken)
        assert keys.refreshes == renewals


def test_without_keys_the_result_is_an_outage() -> None:
    """The same applies if refreshed keys do not fit; the token is not inactive."""
    assert read(answer(), FakeKeys(None, DOWN)) is DOWN
    for keys, data in (
        (FakeKeys(KEYS, KEYS), answer({"kid": "second"}, SECOND)),
        (FakeKeys(KEYS, KEYS), answer(iss="x")),
    ):
        error = read(data, keys)
        assert isinstance(error, IntrospectionError)
        assert error.reason is IntrospectionFailure.MALFORMED


def test_a_closed_reader_closes_its_keys() -> None:
    """Otherwise they would be fetched forever."""
    keys = FakeKeys(KEYS, DOWN)
    JwtReader(keys, EXPECTED, lambda: NOW).close()
    assert keys.closed


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text())


@given(
    st.binary()
    | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda parts: b".".join(map(encode, parts)))
    | st.dictionaries(st.sampled_from([*CLAIMS]), _values).map(lambda members: answer(None, FIRST, **members))
    | st.dictionaries(st.sampled_from([*HEADER, "crit", "b64", "jwk"]), _values).map(answer)
)
def test_any_bytes_are_a_response_or_malformed(data: bytes) -> None:
    """And raise no other exception."""
    with suppress(IntrospectionError):
        assert verify(data, KEYS, EXPECTED, NOW) is not None
