"""Signed tokens and the rest, with a key source in memory."""

import json

from harness.outcomes import outcome_of
from harness.signing import AnyKey, key, public, sign
from harness.verification import DOWN, FakeKeys

from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.introspection.response import INACTIVE, ActiveToken, InactiveToken, IntrospectionOutcome
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.tokens.jwt.jwt_source import JwtSource
from enforcer.wire.callback import Callback

NOW = 1_700_000_000.0
ISSUER = "https://as.example"
FIRST, SECOND = (key("ES256", 1), "first"), (key("ES256", 2), "second")
CLAIMS = {"iss": ISSUER, "sub": "joe", "scope": "read", "exp": NOW + 60}


def key_set(*keys: tuple[AnyKey, str]) -> KeySet:
    return parse(json.dumps({"keys": [public(one, kid=kid) for one, kid in keys]}).encode())


class Others:
    """Knows every opaque token."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def introspect(self, token: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        self.asked.append(token)
        return DOWN

    def circuit_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def ask(token: bytes, keys: FakeKeys, others: Others | None) -> IntrospectionOutcome:
    source = JwtSource(keys, ISSUER, JwtSettings(), others, lambda: NOW)  # type: ignore[arg-type]

    def call(callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        return source.introspect(token, callback)

    return outcome_of(call)


def token(signer: tuple[AnyKey, str], **claims: object) -> bytes:
    private, kid = signer
    return sign({"alg": "ES256", "typ": "at+jwt", "kid": kid}, {**CLAIMS, **claims}, private, "ES256")


def test_a_signed_token_is_verified_and_nobody_is_asked() -> None:
    """Neither the server about the token, nor for newer keys."""
    keys, others = FakeKeys(key_set(FIRST), DOWN), Others()
    answer = ask(token(FIRST), keys, others)
    assert isinstance(answer, ActiveToken)
    assert (answer.subject, answer.scopes) == ("joe", frozenset({"read"}))
    assert (keys.refreshes, others.asked) == (0, [])


def test_a_wrong_signed_token_is_not_asked_about() -> None:
    """A token that its signature or a claim rules out is not introspected."""
    keys, others = FakeKeys(key_set(FIRST), DOWN), Others()
    for wrong in (token(FIRST, iss="https://other"), token(FIRST, exp=NOW), token(FIRST)[:-8] + b"AAAAAAAA"):
        assert isinstance(ask(wrong, keys, others), InactiveToken)
    assert (keys.refreshes, others.asked) == (0, [])


def test_an_opaque_token_is_asked_about() -> None:
    """And the answer is the server's."""
    keys, others = FakeKeys(key_set(FIRST), DOWN), Others()
    assert ask(b"opaque", keys, others) is DOWN
    assert (keys.refreshes, others.asked) == (0, [b"opaque"])


def test_whoever_is_closed_closes_what_is_its_own() -> None:
    """The keys, which would be fetched indefinitely, and the connections."""
    keys, others = FakeKeys(key_set(FIRST), DOWN), Others()
    JwtSource(keys, ISSUER, JwtSettings(), others, lambda: NOW).close()  # type: ignore[arg-type]
    assert keys.closed
    assert others.closed


def test_an_unknown_key_is_looked_for_once() -> None:
    """With newer keys the token is verified again; if they lack it too, the token is nobody's."""
    others = Others()
    rotated = FakeKeys(key_set(FIRST), key_set(FIRST, SECOND))
    assert isinstance(ask(token(SECOND), rotated, others), ActiveToken)
    unknown = FakeKeys(key_set(FIRST), key_set(FIRST))
    assert ask(token(SECOND), unknown, others) is INACTIVE
    assert (rotated.refreshes, unknown.refreshes) == (1, 1)


def test_without_keys_nobody_is_told_that_a_token_is_worth_nothing() -> None:
    """They are fetched; if that fails, it is an outage and not an inactive token."""
    assert isinstance(ask(token(FIRST), FakeKeys(None, key_set(FIRST)), Others()), ActiveToken)
    assert ask(token(FIRST), FakeKeys(None, DOWN), Others()) is DOWN


def test_where_nobody_is_asked_an_opaque_token_is_worth_nothing() -> None:
    """It is shown to nobody (`verify: jwt`)."""
    keys = FakeKeys(key_set(FIRST), DOWN)
    assert ask(b"opaque", keys, None) is INACTIVE
    assert isinstance(ask(token(FIRST), keys, None), ActiveToken)
    source = JwtSource(keys, ISSUER, JwtSettings(), None, lambda: NOW)  # type: ignore[arg-type]
    assert not source.circuit_open()
    source.close()
    assert (keys.refreshes, keys.closed) == (0, True)


def test_keys_that_come_later_verify_the_token_then() -> None:
    """The callback gets the result once, after the call has returned."""
    for newer, result in ((key_set(FIRST, SECOND), ActiveToken), (key_set(FIRST), InactiveToken)):
        keys = FakeKeys(key_set(FIRST), newer)
        keys.at_once = False
        results: list[IntrospectionOutcome] = []
        source = JwtSource(keys, ISSUER, JwtSettings(), None, lambda: NOW)  # type: ignore[arg-type]
        assert source.introspect(token(SECOND), results.append) is None
        assert results == []
        keys.respond()
        assert [type(one) for one in results] == [result]
