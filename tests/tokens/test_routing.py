"""Which tokens a server is shown, and which of its answers count."""

from __future__ import annotations

from typing import Any

import pytest
from harness.signing import encode, text

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult, from_claims
from enforcer.tokens.issuers import IssuerFilter, IssuerScope

A, B, C = "https://a.example", "https://b.example", "https://c.example"
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")


def jwt(payload: Any) -> bytes:
    """Write a JWT that nobody signed."""
    return b".".join((encode(text({"alg": "ES256"})), encode(text(payload)), b"AA"))


OF_A, OF_B, OF_NOBODY = jwt({"iss": A}), jwt({"iss": B}), jwt({"iss": C})
OPAQUE = b"opaque"
UNREADABLE = jwt(b'{"iss": "https://a.example", "iss": "https://b.example"}')
ANONYMOUS = jwt({"sub": "joe"})


@pytest.mark.parametrize(
    ("domain", "admitted"),
    [
        pytest.param(
            IssuerScope(), {OPAQUE, OF_A, OF_B, OF_NOBODY, UNREADABLE, ANONYMOUS}, id="of whom nothing is known"
        ),
        pytest.param(IssuerScope(A), {OPAQUE, OF_A}, id="one with an issuer"),
        pytest.param(IssuerScope(A, frozenset({B})), {OPAQUE, OF_A}, id="one with an issuer beside another"),
        pytest.param(
            IssuerScope(None, frozenset({B})),
            {OPAQUE, OF_A, OF_NOBODY, UNREADABLE, ANONYMOUS},
            id="one without, beside another",
        ),
    ],
)
def test_a_server_is_shown_no_token_of_another(domain: IssuerScope, admitted: set[bytes]) -> None:
    """What names no issuer that can be read names not this one either."""
    every = {OPAQUE, OF_A, OF_B, OF_NOBODY, UNREADABLE, ANONYMOUS}
    assert {token for token in every if domain.admits(token)} == admitted


class Source:
    """An authorization server in memory, of which everything is active."""

    def __init__(self, answer: VerificationResult | IntrospectionError) -> None:
        self.asked: list[bytes] = []
        self.closed = False
        self._answer = answer

    def introspect(self, token: bytes, done: Done) -> None:
        self.asked.append(token)
        done(self._answer)

    def circuit_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def told(source: Source, domain: IssuerScope, token: bytes) -> VerificationResult | IntrospectionError:
    results: list[VerificationResult | IntrospectionError] = []
    IssuerFilter(source, domain).introspect(token, results.append)
    (result,) = results
    return result


def test_a_token_of_another_server_is_worth_nothing_and_nobody_is_asked() -> None:
    """CVE-2026-33496, skipper #4196: it would be shown to a server that did not issue it."""
    source = Source(from_claims({"iss": A}))
    assert told(source, IssuerScope(A, frozenset({B})), OF_B) is INACTIVE
    assert source.asked == []


def test_the_servers_answer_about_its_own_token_counts() -> None:
    """As it is; so does its silence."""
    answer = from_claims({"iss": A})
    for outcome in (answer, INACTIVE, DOWN):
        source = Source(outcome)
        assert told(source, IssuerScope(A, frozenset({B})), OF_A) is outcome
        assert source.asked == [OF_A]


@pytest.mark.parametrize(("issuer", "counts"), [(A, True), (None, True), (C, True), (B, False)])
def test_a_server_does_not_speak_for_another(issuer: str | None, counts: bool) -> None:
    """What it calls a token of another configured server is worth nothing, whatever it says of it."""
    answer = from_claims({"iss": issuer})
    assert told(Source(answer), IssuerScope(A, frozenset({B})), OPAQUE) is (answer if counts else INACTIVE)


def test_what_is_behind_it_is_reached_through_it() -> None:
    """Its end, and its circuit."""
    source = Source(INACTIVE)
    tokens = IssuerFilter(source, IssuerScope(A))
    assert tokens.circuit_open()
    tokens.close()
    assert source.closed
