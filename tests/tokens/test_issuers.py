"""Tokens for a rule that takes those of several servers, driven by an advanced clock, with every call counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from harness.signing import encode, text

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.cache import CacheSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import INACTIVE, ActiveToken, VerificationResult, from_claims
from enforcer.tokens.issuers import IssuerScope, MultiIssuerVerifier, TrustedIssuer
from enforcer.tokens.limiter import AddressLimiter
from enforcer.tokens.verifier import CachingVerifier, LookupOptions

START = 1_700_000_000.0
A, B = "https://a.example", "https://b.example"
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")


def jwt(issuer: str) -> bytes:
    """Write a JWT that nobody signed."""
    return b".".join((encode(text({"alg": "ES256"})), encode(text({"iss": issuer})), b"AA"))


class Source:
    """An authorization server in memory: it answers at once, or when it is told to, and keeps what it saw."""

    def __init__(self, **tokens: Mapping[str, Any]) -> None:
        self.tokens = {name.encode(): members for name, members in tokens.items()}
        self.saw: list[bytes] = []
        self.up = self.at_once = True
        self._pending: list[tuple[bytes, Done]] = []

    def introspect(self, token: bytes, done: Done) -> None:
        self.saw.append(token)
        self._pending.append((token, done))
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        pending, self._pending = self._pending, []
        for token, done in pending:
            done(self._result(token))

    def _result(self, token: bytes) -> VerificationResult | IntrospectionError:
        if not self.up:
            return DOWN
        members = self.tokens.get(token)
        return INACTIVE if members is None else from_claims({"exp": START + 1000, **members})

    def circuit_open(self) -> bool:
        return False

    def close(self) -> None:
        pass


@dataclass
class Client:
    """Waits, and keeps what it was told."""

    address: str = "192.0.2.1"
    told: list[object] = field(default_factory=list)

    def on_answer(self, entry: CacheEntry) -> None:
        self.told.append(entry.identity.decode() if isinstance(entry.result, ActiveToken) else 401)

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        self.told.append(503)

    def on_too_many(self, retry_after: int) -> None:
        self.told.append(429)


class Bed:
    """Two servers, one that issues tokens for ann, one for bob, and a rule that takes both."""

    def __init__(self, *, in_order: bool = False, burst: int = 50, **terms: Any) -> None:
        self.now = START
        self.a = Source(ann={"sub": "ann", "iss": A, "aud": "for a"})
        self.b = Source(bob={"sub": "bob", "iss": B, "aud": "for b"})
        self.cache: TokenCache = TokenCache(CacheSettings(ttl=60.0, negative_ttl=5.0, refresh_ahead=0.0, stale=100.0))
        self.limiter = AddressLimiter(UnseenSettings(rate=1, burst=burst))
        domains = (IssuerScope(A, frozenset({B})), IssuerScope(B, frozenset({A})))
        trusted = [
            TrustedIssuer(self._verifier(name, source), domain, **terms.get(name, {}))
            for name, source, domain in zip("ab", (self.a, self.b), domains, strict=True)
        ]
        self.several = MultiIssuerVerifier(trusted, in_order=in_order, clock=lambda: self.now)

    def _verifier(self, name: str, source: Source) -> CachingVerifier:
        return CachingVerifier(
            name,
            source,
            self.cache,
            CacheKeys(name),
            self.limiter,
            lambda answer: (answer.subject or "").encode(),
            IntrospectionMetrics(),
            lambda: self.now,
            7,
        )

    def look(self, token: bytes, demand: LookupOptions = LookupOptions()) -> object:  # noqa: B008 - it is immutable
        """Ask for a token's worth, and return what is told: whose it is, or a status."""
        client = self.begin(token, demand)
        (told,) = client.told
        return told

    def begin(self, token: bytes, demand: LookupOptions = LookupOptions()) -> Client:  # noqa: B008
        client = Client()
        entry = self.several.verify(token, self.now, client, demand)
        if entry is not None:
            client.on_answer(entry)
        return client

    @property
    def saw(self) -> tuple[int, int]:
        return len(self.a.saw), len(self.b.saw)


def test_a_jwt_is_asked_about_at_its_issuer_and_at_no_other() -> None:
    """Whatever the order of the rule; that of nobody is asked about nowhere."""
    for in_order in (False, True):
        bed = Bed(in_order=in_order)
        of_a, of_b, of_nobody = jwt(A), jwt(B), jwt("https://c.example")
        bed.b.tokens[of_b] = {"sub": "bob", "iss": B}
        assert [bed.look(token) for token in (of_b, of_a, of_nobody, of_b)] == ["bob", 401, 401, "bob"]
        assert (bed.a.saw, bed.b.saw) == ([of_a], [of_b])


def test_an_opaque_token_is_asked_about_at_the_first_server_alone() -> None:
    """To no other it is shown, be it known there or not."""
    bed = Bed()
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", 401, 401]
    assert (bed.a.saw, bed.b.saw) == ([b"ann", b"bob", b"junk"], [])


def test_in_order_it_is_asked_about_at_each_until_one_knows_it() -> None:
    """What the first knows is shown to no other."""
    bed = Bed(in_order=True)
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", "bob", 401]
    assert (bed.a.saw, bed.b.saw) == ([b"ann", b"bob", b"junk"], [b"bob", b"junk"])


def test_whose_it_is_is_remembered_as_long_as_the_answer() -> None:
    """Neither server is asked again, though the first one's no is over long before."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    for second in (1, 6, 59):
        bed.now = START + second
        assert bed.look(b"bob") == "bob"
    assert bed.saw == (1, 1)
    bed.now = START + 60
    assert bed.look(b"bob") == "bob"
    assert bed.saw == (1, 2)


def test_what_nobody_knows_is_remembered_by_both() -> None:
    """For the short time of a no."""
    bed = Bed(in_order=True)
    for second in (0, 1, 4.9):
        bed.now = START + second
        assert bed.look(b"junk") == 401
    assert bed.saw == (1, 1)
    bed.now = START + 5
    assert bed.look(b"junk") == 401
    assert bed.saw == (2, 2)


@pytest.mark.parametrize(
    ("down", "token", "told"),
    [
        pytest.param("a", b"bob", "bob", id="the other one knows it"),
        pytest.param("a", b"junk", 503, id="the one that is down may know it"),
        pytest.param("b", b"junk", 503, id="the last one is down"),
        pytest.param("b", b"ann", "ann", id="the first one knows it"),
        pytest.param("ab", b"ann", 503, id="both are down"),
    ],
)
def test_no_token_is_called_worthless_that_a_silent_server_may_know(down: str, token: bytes, told: object) -> None:
    """401 is for what all have denied."""
    bed = Bed(in_order=True)
    bed.a.up, bed.b.up = "a" not in down, "b" not in down
    assert bed.look(token) == told


def test_an_answer_that_comes_later_is_told_as_one_that_comes_at_once() -> None:
    """Each who waits is told once, after as many servers as it takes."""
    bed = Bed(in_order=True)
    bed.a.at_once = bed.b.at_once = False
    clients = [bed.begin(b"bob") for _ in range(3)]
    assert [client.told for client in clients] == [[]] * 3
    bed.a.answer()
    assert [client.told for client in clients] == [[]] * 3
    bed.b.answer()
    assert [client.told for client in clients] == [["bob"]] * 3
    assert bed.saw == (1, 1)


def test_in_an_outage_a_kept_answer_serves_rules_that_take_it() -> None:
    """It is the server's that gave it; the other is not asked in its place."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    bed.now = START + 70
    bed.b.up = False
    assert bed.look(b"bob", LookupOptions(stale=True)) == "bob"
    assert bed.look(b"bob") == 503
    assert bed.saw == (1, 3)


def test_a_rule_may_want_younger_answers() -> None:
    """Of the server that knows it."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    bed.now = START + 6
    assert bed.look(b"bob", LookupOptions(max_age=5.0)) == "bob"
    assert bed.saw == (1, 2)


def test_a_revocation_is_noticed_at_the_server_that_issued_the_token() -> None:
    """And nobody else is asked whether they may know it."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    del bed.b.tokens[b"bob"]
    bed.now = START + 60
    assert bed.look(b"bob") == 401
    assert bed.saw == (1, 2)


def test_the_same_token_is_one_at_each_server() -> None:
    """What one says of it is not the other's answer: caches never mix."""
    bed = Bed()
    bed.a.tokens[b"same"], bed.b.tokens[b"same"] = {"sub": "ann"}, {"sub": "bob"}
    first, second = bed.several._trusted
    reverse = MultiIssuerVerifier((second, first), in_order=False, clock=lambda: bed.now)
    assert bed.look(b"same") == "ann"
    # Whoever has called it active is asked; a rule that takes the other alone asks that one.
    alone = MultiIssuerVerifier((second,), in_order=False, clock=lambda: bed.now)
    client = Client()
    assert alone.verify(b"same", bed.now, client, LookupOptions()) is None
    assert client.told == ["bob"]
    entry = reverse.verify(b"same", bed.now, client, LookupOptions())
    assert entry is not None
    assert entry.identity == b"bob"


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({}, "ann"),
        ({"a": {"issuers": frozenset({A})}}, "ann"),
        ({"a": {"issuers": frozenset({B})}}, 401),
        ({"a": {"audience": frozenset({"for a"})}}, "ann"),
        ({"a": {"audience": frozenset({"for b"})}}, 401),
        ({"b": {"audience": frozenset({"nothing"})}}, "ann"),
    ],
)
def test_each_server_is_held_to_its_own_issuer_and_audience(terms: dict[str, Any], told: object) -> None:
    """What would do for the other one's tokens does not do for its; and a token of one is not shown to the other."""
    for at_once in (True, False):
        bed = Bed(in_order=True, **terms)
        bed.a.at_once = at_once
        client = bed.begin(b"ann")
        bed.a.answer()
        assert client.told == [told]
        assert bed.saw == (1, 0)


def test_unseen_tokens_are_counted_for_each_look_up() -> None:
    """Whoever has a rule asked in order pays for it."""
    bed = Bed(in_order=True, burst=5)
    assert [bed.look(b"junk%d" % number) for number in range(3)] == [401, 401, 429]
    assert bed.look(b"ann") == 429


class Watched:
    """A domain that counts how often it is asked what a token is."""

    def __init__(self, domain: IssuerScope) -> None:
        self._domain = domain
        self.asked = 0

    def admits(self, token: bytes) -> bool:
        self.asked += 1
        return self._domain.admits(token)


def test_a_remembered_jwt_is_not_taken_apart_again() -> None:
    """Whose it is shows from who has called it active."""
    bed = Bed()
    watched = [Watched(one.domain) for one in bed.several._trusted]
    trusted = [
        replace(one, domain=domain)  # type: ignore[arg-type]
        for one, domain in zip(bed.several._trusted, watched, strict=True)
    ]
    bed.several = MultiIssuerVerifier(trusted, in_order=False, clock=lambda: bed.now)
    token = jwt(B)
    bed.b.tokens[token] = {"sub": "bob", "iss": B}
    assert [bed.look(token) for _ in range(5)] == ["bob"] * 5
    assert [one.asked for one in watched] == [1, 1]
    assert bed.saw == (0, 1)


def test_what_a_server_said_holds_for_rules_that_take_its_tokens() -> None:
    """So that a stream goes on under a new rule: that of whom nobody knows which server allowed it, only under one that
    takes the tokens of all that may have."""
    bed = Bed()
    both = bed.several
    one, other = (trusted.verifier for trusted in both._trusted)
    of_a = from_claims({"active": True, "iss": A})
    assert isinstance(of_a, ActiveToken)
    assert both.takes(of_a, one)
    assert both.takes(of_a, both)
    assert not one.takes(of_a, both)
    assert not one.takes(of_a, other)


def test_what_a_server_said_holds_no_longer_where_its_tokens_must_be_for_another() -> None:
    """The audience of a server may be narrowed by a reload; that of another server is nothing to its tokens."""
    bed = Bed(b={"audience": frozenset({"for b"})})
    one, other = (trusted.verifier for trusted in bed.several._trusted)
    of_a = from_claims({"active": True, "iss": A, "aud": "for a"})
    of_b = from_claims({"active": True, "iss": B, "aud": "for a"})
    assert isinstance(of_a, ActiveToken)
    assert isinstance(of_b, ActiveToken)
    assert bed.several.takes(of_a, one)
    assert bed.several.takes(of_a, bed.several)
    assert not bed.several.takes(of_b, other)
    assert not bed.several.takes(of_b, bed.several)


def test_a_token_that_another_rule_showed_its_server_is_no_other_here() -> None:
    """Without order it goes to the first server alone, whatever is remembered of it: the answer is always the same."""
    bed = Bed()
    client = Client()
    second = bed.several._trusted[1].verifier
    assert second.verify(b"bob", bed.now, client, LookupOptions()) is None
    assert client.told == ["bob"]
    assert bed.look(b"bob") == 401
