"""JWTs and opaque tokens, with a key source in memory."""

import json

from harness.outcomes import outcome_of
from harness.signing import AnyKey, key, public, sign
from harness.verification import DOWN, FakeKeys

from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.response import IntrospectionOutcome
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.tokens.jwt.jwt_source import JwtSource
from enforcer.tokens.lookup import Lookup
from enforcer.wire.callback import Callback

NOW = 1_700_000_000.0
ISSUER = "https://as.example"
FIRST, SECOND = (key("ES256", 1), "first"), (key("ES256", 2), "second")
CLAIMS = {"iss": ISSUER, "sub": "joe", "scope": "read", "exp": NOW + 60}


def key_set(*keys: tuple[AnyKey, str]) -> KeySet:
    return parse(json.dumps({"keys": [public(item, kid=kid) for item, kid in keys]}).encode())


class FakeIntrospection:
    """An introspection source that records the tokens, and is down."""

    def __init__(self) -> None:
        self.introspected: list[bytes] = []

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        self.introspected.append(lookup.token)
        return DOWN

    def circuit_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def verify(token: bytes, keys: FakeKeys, introspection: FakeIntrospection | None) -> IntrospectionOutcome:
    source = JwtSource(keys, ISSUER, JwtSettings(), introspection, lambda: NOW)

    def call(callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        return source.introspect(Lookup(token, "192.0.2.1"), callback)

    return outcome_of(call)


def rejection(outcome: IntrospectionOutcome) -> JwtFault:
    assert isinstance(outcome, RejectedToken)
    return outcome.fault


def token(signer: tuple[AnyKey, str], **claims: object) -> bytes:
    private, kid = signer
    return sign({"alg": "ES256", "typ": "at+jwt", "kid": kid}, {**CLAIMS, **claims}, private, "ES256")


def test_a_jwt_is_verified_without_introspection() -> None:
    """Nor are newer keys fetched."""
    keys, introspection = FakeKeys(key_set(FIRST), DOWN), FakeIntrospection()
    answer = verify(token(FIRST), keys, introspection)
    assert isinstance(answer, ActiveToken)
    assert (answer.subject, answer.scopes) == ("joe", frozenset({"read"}))
    assert (keys.refreshes, introspection.introspected) == (0, [])


def test_a_rejected_jwt_is_not_introspected() -> None:
    """No server may accept a token that its signature or a claim rules out."""
    keys, introspection = FakeKeys(key_set(FIRST), DOWN), FakeIntrospection()
    for wrong in (token(FIRST, iss="https://other"), token(FIRST, exp=NOW), token(FIRST, scope=1)):
        assert isinstance(verify(wrong, keys, introspection), RejectedToken)
    assert (keys.refreshes, introspection.introspected) == (0, [])
    keys = FakeKeys(key_set(FIRST), key_set(FIRST))
    assert rejection(verify(token((SECOND[0], "first")), keys, introspection)) is JwtFault.SIGNATURE
    assert (keys.refreshes, introspection.introspected) == (1, [])


def test_an_opaque_token_is_introspected() -> None:
    """The result is that of the server."""
    keys, introspection = FakeKeys(key_set(FIRST), DOWN), FakeIntrospection()
    assert verify(b"opaque", keys, introspection) is DOWN
    assert (keys.refreshes, introspection.introspected) == (0, [b"opaque"])


def test_closing_a_source_closes_its_keys_and_connections() -> None:
    """Otherwise the keys would be fetched forever."""
    keys, introspection = FakeKeys(key_set(FIRST), DOWN), FakeIntrospection()
    JwtSource(keys, ISSUER, JwtSettings(), introspection, lambda: NOW).close()
    assert keys.closed
    assert introspection.closed


def test_newer_keys_are_fetched_once_for_an_unknown_key() -> None:
    """The token is verified again with them; if they lack the key too, it is inactive."""
    introspection = FakeIntrospection()
    rotated = FakeKeys(key_set(FIRST), key_set(FIRST, SECOND))
    assert isinstance(verify(token(SECOND), rotated, introspection), ActiveToken)
    unknown = FakeKeys(key_set(FIRST), key_set(FIRST))
    assert rejection(verify(token(SECOND), unknown, introspection)) is JwtFault.KEY
    assert (rotated.refreshes, unknown.refreshes) == (1, 1)


def test_without_keys_a_token_is_not_called_inactive() -> None:
    """They are fetched; if that fails, the result is an outage."""
    assert isinstance(verify(token(FIRST), FakeKeys(None, key_set(FIRST)), FakeIntrospection()), ActiveToken)
    assert verify(token(FIRST), FakeKeys(None, DOWN), FakeIntrospection()) is DOWN


def test_without_introspection_an_opaque_token_is_inactive() -> None:
    """No server sees it (`verify: jwt`)."""
    keys = FakeKeys(key_set(FIRST), DOWN)
    assert rejection(verify(b"opaque", keys, None)) is JwtFault.MALFORMED
    assert isinstance(verify(token(FIRST), keys, None), ActiveToken)
    source = JwtSource(keys, ISSUER, JwtSettings(), None, lambda: NOW)
    assert not source.circuit_open()
    source.close()
    assert (keys.refreshes, keys.closed) == (0, True)


def test_keys_that_come_later_verify_the_token_then() -> None:
    """The callback gets the result once, after the call has returned."""
    for newer, result in ((key_set(FIRST, SECOND), ActiveToken), (key_set(FIRST), RejectedToken)):
        keys = FakeKeys(key_set(FIRST), newer)
        keys.at_once = False
        results: list[IntrospectionOutcome] = []
        source = JwtSource(keys, ISSUER, JwtSettings(), None, lambda: NOW)
        assert source.introspect(Lookup(token(SECOND), "192.0.2.1"), results.append) is None
        assert results == []
        keys.respond()
        assert [type(item) for item in results] == [result]
