"""Tokens for a rule that takes those of several servers, driven by an advanced clock, with every call counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.clocks import Clock
from harness.outcomes import outcome_of
from harness.signing import text
from harness.verification import DOWN, FakeListener, FakeSource

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionFailure
from enforcer.settings.cache import CacheSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.introspection.response import INACTIVE, ActiveToken, IntrospectionOutcome, from_claims
from enforcer.tokens.issuers import IssuerFilter, IssuerScope, MultiIssuerVerifier, TrustedIssuer, choose
from enforcer.tokens.jwt.jws import encode
from enforcer.tokens.limiter import AddressLimiter
from enforcer.tokens.verifier import CachingVerifier, LookupOptions, VerificationOutcome
from enforcer.wire.callback import Callback

START = 1_700_000_000.0
A, B, C = "https://a.example", "https://b.example", "https://c.example"


def unsigned(payload: Any) -> bytes:
    """Write a JWT without a valid signature."""
    return b".".join((encode(text({"alg": "ES256"})), encode(text(payload)), b"AA"))


def jwt(issuer: str) -> bytes:
    return unsigned({"iss": issuer})


OF_A, OF_B, OF_NOBODY = jwt(A), jwt(B), jwt(C)
OPAQUE = b"opaque"
UNREADABLE = unsigned(b'{"iss": "https://a.example", "iss": "https://b.example"}')
ANONYMOUS = unsigned({"sub": "joe"})


def show(outcome: VerificationOutcome) -> object:
    """Return whose the token is, or a status."""
    if isinstance(outcome, CacheEntry):
        return outcome.identity.decode() if isinstance(outcome.result, ActiveToken) else 401
    return 503 if isinstance(outcome.reason, IntrospectionFailure) else 429


def source(issuer: str, name: str, audience: str) -> FakeSource:
    """Make an authorization server that has issued one token."""
    return FakeSource({name.encode(): {"sub": name, "iss": issuer, "aud": audience, "exp": START + 1000}}, at_once=True)


class Bed:
    """Two servers, one that issues tokens for ann, one for bob, and a rule that takes both."""

    def __init__(self, *, in_order: bool = False, burst: int = 50, **terms: Any) -> None:
        self.now = START
        self.a = source(A, "ann", "for a")
        self.b = source(B, "bob", "for b")
        self.cache: TokenCache = TokenCache(CacheSettings(ttl=60.0, negative_ttl=5.0, refresh_ahead=0.0, stale=100.0))
        self.limiter = AddressLimiter(UnseenSettings(rate=1, burst=burst))
        domains = (IssuerScope(A, frozenset({B})), IssuerScope(B, frozenset({A})))
        trusted = [
            TrustedIssuer(self._verifier(name, source), domain, **terms.get(name, {}))
            for name, source, domain in zip("ab", (self.a, self.b), domains, strict=True)
        ]
        self.several = MultiIssuerVerifier(trusted, in_order=in_order, clock=lambda: self.now)

    def _verifier(self, name: str, source: FakeSource) -> CachingVerifier:
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
        """Verify a token, and return whose it is, or a status."""
        (outcome,) = self.begin(token, demand).outcomes
        return outcome

    def begin(self, token: bytes, demand: LookupOptions = LookupOptions()) -> FakeListener:  # noqa: B008
        client = FakeListener(show)
        outcome = self.several.verify(token, self.now, client, demand)
        assert client.outcomes == []
        if outcome is not None:
            client.on_verification(outcome)
        return client

    @property
    def saw(self) -> tuple[int, int]:
        return len(self.a.seen), len(self.b.seen)


def test_a_jwt_is_asked_about_at_its_issuer_and_at_no_other() -> None:
    """In any order of the rule; a JWT of an unknown issuer is introspected nowhere."""
    for in_order in (False, True):
        bed = Bed(in_order=in_order)
        of_a, of_b, of_nobody = jwt(A), jwt(B), jwt("https://c.example")
        bed.b.tokens[of_b] = {"sub": "bob", "iss": B}
        assert [bed.look(token) for token in (of_b, of_a, of_nobody, of_b)] == ["bob", 401, 401, "bob"]
        assert (bed.a.seen, bed.b.seen) == ([of_a], [of_b])


def test_an_opaque_token_is_asked_about_at_the_first_server_alone() -> None:
    """It is sent to no other server, even one that knows it."""
    bed = Bed()
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", 401, 401]
    assert (bed.a.seen, bed.b.seen) == ([b"ann", b"bob", b"junk"], [])


def test_in_order_it_is_asked_about_at_each_until_one_knows_it() -> None:
    """A token that the first server knows is sent to no other."""
    bed = Bed(in_order=True)
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", "bob", 401]
    assert (bed.a.seen, bed.b.seen) == ([b"ann", b"bob", b"junk"], [b"bob", b"junk"])


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
    """Each listener is called once, after as many servers as necessary."""
    bed = Bed(in_order=True)
    bed.a.at_once = bed.b.at_once = False
    clients = [bed.begin(b"bob") for _ in range(3)]
    assert [client.outcomes for client in clients] == [[]] * 3
    bed.a.respond()
    assert [client.outcomes for client in clients] == [[]] * 3
    bed.b.respond()
    assert [client.outcomes for client in clients] == [["bob"]] * 3
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
    """A result of one server is not used for the other: caches never mix."""
    bed = Bed()
    bed.a.tokens[b"same"], bed.b.tokens[b"same"] = {"sub": "ann"}, {"sub": "bob"}
    first, second = bed.several._issuers
    reverse = MultiIssuerVerifier((second, first), in_order=False, clock=lambda: bed.now)
    assert bed.look(b"same") == "ann"
    # The server that called it active is asked; a rule that accepts only the other one asks that one.
    alone = MultiIssuerVerifier((second,), in_order=False, clock=lambda: bed.now)
    client = FakeListener(show)
    entry = alone.verify(b"same", bed.now, client, LookupOptions())
    assert isinstance(entry, CacheEntry)
    assert entry.identity == b"bob"
    entry = reverse.verify(b"same", bed.now, client, LookupOptions())
    assert isinstance(entry, CacheEntry)
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
    """Issuer and audience of one server do not apply to the other, and a token of one is not sent to the other."""
    for at_once in (True, False):
        bed = Bed(in_order=True, **terms)
        bed.a.at_once = at_once
        client = bed.begin(b"ann")
        bed.a.respond()
        assert client.outcomes == [told]
        assert bed.saw == (1, 0)


def test_unseen_tokens_are_counted_for_each_look_up() -> None:
    """The cost is paid only by rules with ask_in_order."""
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
    """It belongs to the server that called it active."""
    bed = Bed()
    watched = [Watched(one.scope) for one in bed.several._issuers]
    trusted = [
        replace(one, scope=domain)  # type: ignore[arg-type]
        for one, domain in zip(bed.several._issuers, watched, strict=True)
    ]
    bed.several = MultiIssuerVerifier(trusted, in_order=False, clock=lambda: bed.now)
    token = jwt(B)
    bed.b.tokens[token] = {"sub": "bob", "iss": B}
    assert [bed.look(token) for _ in range(5)] == ["bob"] * 5
    assert [one.asked for one in watched] == [1, 1]
    assert bed.saw == (0, 1)


def test_what_a_server_said_holds_for_rules_that_take_its_tokens() -> None:
    """A stream goes on under a new rule.

    If several servers may have allowed it, the rule must accept tokens of all of them.
    """
    bed = Bed()
    both = bed.several
    one, other = (trusted.verifier for trusted in both._issuers)
    of_a = from_claims({"active": True, "iss": A})
    assert isinstance(of_a, ActiveToken)
    assert both.takes(of_a, one)
    assert both.takes(of_a, both)
    assert not one.takes(of_a, both)
    assert not one.takes(of_a, other)


def test_what_a_server_said_holds_no_longer_where_its_tokens_must_be_for_another() -> None:
    """The audience of a server may be narrowed by a reload; that of another server is nothing to its tokens."""
    bed = Bed(b={"audience": frozenset({"for b"})})
    one, other = (trusted.verifier for trusted in bed.several._issuers)
    of_a = from_claims({"active": True, "iss": A, "aud": "for a"})
    of_b = from_claims({"active": True, "iss": B, "aud": "for a"})
    assert isinstance(of_a, ActiveToken)
    assert isinstance(of_b, ActiveToken)
    assert bed.several.takes(of_a, one)
    assert bed.several.takes(of_a, bed.several)
    assert not bed.several.takes(of_b, other)
    assert not bed.several.takes(of_b, bed.several)


def test_a_token_that_another_rule_showed_its_server_is_no_other_here() -> None:
    """Without ask_in_order it is sent only to the first server, whatever is cached: the result is always the same."""
    bed = Bed()
    second = bed.several._issuers[1].verifier
    entry = second.verify(b"bob", bed.now, FakeListener(show), LookupOptions())
    assert isinstance(entry, CacheEntry)
    assert entry.identity == b"bob"
    assert bed.look(b"bob") == 401


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
    """A token without a readable issuer is not a token of this one."""
    every = {OPAQUE, OF_A, OF_B, OF_NOBODY, UNREADABLE, ANONYMOUS}
    assert {token for token in every if domain.admits(token)} == admitted


class OneResult:
    """A token source that responds to everything with one result."""

    def __init__(self, result: IntrospectionOutcome) -> None:
        self.seen: list[bytes] = []
        self.closed = False
        self.clock = Clock()
        self._result = result

    def introspect(self, token: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        self.seen.append(token)
        self.clock.call_soon(callback, self._result)
        return None

    def circuit_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def filtered(source: OneResult, scope: IssuerScope, token: bytes) -> IntrospectionOutcome:
    def call(callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        return IssuerFilter(source, scope).introspect(token, callback)

    return outcome_of(call, source.clock)


def test_a_token_of_another_server_is_worth_nothing_and_nobody_is_asked() -> None:
    """CVE-2026-33496, skipper #4196: it would be shown to a server that did not issue it."""
    source = OneResult(from_claims({"iss": A}))
    assert filtered(source, IssuerScope(A, frozenset({B})), OF_B) is INACTIVE
    assert source.seen == []


def test_the_servers_answer_about_its_own_token_counts() -> None:
    """As it is; so does its silence."""
    answer = from_claims({"iss": A})
    for outcome in (answer, INACTIVE, DOWN):
        source = OneResult(outcome)
        assert filtered(source, IssuerScope(A, frozenset({B})), OF_A) is outcome
        assert source.seen == [OF_A]


@pytest.mark.parametrize(("issuer", "counts"), [(A, True), (None, True), (C, True), (B, False)])
def test_a_server_does_not_speak_for_another(issuer: str | None, counts: bool) -> None:
    """A response about a token of another configured server makes it inactive, whatever else it contains."""
    answer = from_claims({"iss": issuer})
    assert filtered(OneResult(answer), IssuerScope(A, frozenset({B})), OPAQUE) is (answer if counts else INACTIVE)


def test_what_is_behind_it_is_reached_through_it() -> None:
    """Its end, and its circuit."""
    source = OneResult(INACTIVE)
    tokens = IssuerFilter(source, IssuerScope(A))
    assert tokens.circuit_open()
    tokens.close()
    assert source.closed


@pytest.mark.parametrize(
    ("token", "in_order", "chosen"),
    [
        pytest.param(OF_A, False, "a", id="a JWT: its issuer"),
        pytest.param(OF_B, False, "b", id="a JWT of the second"),
        pytest.param(OF_B, True, "b", id="a JWT, in order: only its issuer"),
        pytest.param(OF_NOBODY, True, "", id="a JWT of another issuer"),
        pytest.param(ANONYMOUS, True, "", id="a JWT without an issuer"),
        pytest.param(OPAQUE, False, "a", id="opaque: the first"),
        pytest.param(OPAQUE, True, "ab", id="opaque, in order: all"),
    ],
)
def test_the_servers_for_a_token_are_chosen_before_any_is_asked(token: bytes, in_order: bool, chosen: str) -> None:
    """`choose` is pure: no server is asked, and the cache plays no part."""
    bed = Bed()
    issuers = bed.several._issuers
    assert list(choose(token, issuers, in_order=in_order)) == [issuers["ab".index(name)] for name in chosen]
    assert bed.saw == (0, 0)
