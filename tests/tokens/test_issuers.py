"""A rule that accepts tokens of several servers, driven by a fake clock, with every call counted."""

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
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.issuers import IssuerFilter, IssuerScope, MultiIssuerVerifier, TrustedIssuer, choose
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jws import encode
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.retention import Retention
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
    """Two servers, one that issues tokens for ann, one for bob, and a rule that accepts both."""

    def __init__(self, *, in_order: bool = False, burst: int = 50, **terms: Any) -> None:
        self.now = START
        self.a = source(A, "ann", "for a")
        self.b = source(B, "bob", "for b")
        settings = CacheSettings(ttl=60.0, negative_ttl=5.0, refresh_ahead=0.0, stale=100.0)
        self.cache: TokenCache = TokenCache(settings, Retention((), {}))
        self.limiter = ClientLimiter(UnseenSettings(rate=1, burst=burst))
        domains = (IssuerScope(A, frozenset({B})), IssuerScope(B, frozenset({A})))
        trusted = [
            TrustedIssuer(self._verifier(name, source), domain, **terms.get(name, {}))
            for name, source, domain in zip("ab", (self.a, self.b), domains, strict=True)
        ]
        self.verifier = MultiIssuerVerifier(trusted, in_order=in_order, clock=lambda: self.now)

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
        outcome = self.verifier.verify(token, self.now, client, demand)
        assert client.outcomes == []
        if outcome is not None:
            client.on_verification(outcome)
        return client

    @property
    def saw(self) -> tuple[int, int]:
        return len(self.a.seen), len(self.b.seen)


def test_a_jwt_is_introspected_only_at_its_issuer() -> None:
    """In any order of servers; a JWT of an unknown issuer is introspected nowhere."""
    for in_order in (False, True):
        bed = Bed(in_order=in_order)
        of_a, of_b, of_nobody = jwt(A), jwt(B), jwt("https://c.example")
        bed.b.tokens[of_b] = {"sub": "bob", "iss": B}
        assert [bed.look(token) for token in (of_b, of_a, of_nobody, of_b)] == ["bob", 401, 401, "bob"]
        assert (bed.a.seen, bed.b.seen) == ([of_a], [of_b])


def test_the_reason_of_a_rejection_is_kept() -> None:
    """Of the server that verified the token, or that no server may: `enforcer why` shows it."""
    bed = Bed()
    bed.a.results[OF_A] = RejectedToken(JwtFault.SIGNATURE)
    for token, fault in ((OF_A, JwtFault.SIGNATURE), (OF_NOBODY, JwtFault.ISSUER)):
        outcome = bed.verifier.verify(token, START, FakeListener(show), LookupOptions())
        assert isinstance(outcome, CacheEntry)
        assert isinstance(outcome.result, RejectedToken)
        assert outcome.result.fault is fault


def test_an_opaque_token_is_introspected_only_at_the_first_server() -> None:
    """No other server sees it, whether or not the first one knows it."""
    bed = Bed()
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", 401, 401]
    assert (bed.a.seen, bed.b.seen) == ([b"ann", b"bob", b"junk"], [])


def test_in_order_each_server_is_tried_until_one_knows_the_token() -> None:
    """The others do not see a token that the first one knows."""
    bed = Bed(in_order=True)
    assert [bed.look(b"ann"), bed.look(b"bob"), bed.look(b"junk")] == ["ann", "bob", 401]
    assert (bed.a.seen, bed.b.seen) == ([b"ann", b"bob", b"junk"], [b"bob", b"junk"])


def test_the_issuing_server_is_cached_with_the_result() -> None:
    """Neither server gets another request, although the first one's negative entry expires earlier."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    for second in (1, 6, 59):
        bed.now = START + second
        assert bed.look(b"bob") == "bob"
    assert bed.saw == (1, 1)
    bed.now = START + 60
    assert bed.look(b"bob") == "bob"
    assert bed.saw == (1, 2)


def test_a_token_that_no_server_knows_is_cached_for_both() -> None:
    """For `negative_ttl`."""
    bed = Bed(in_order=True)
    for second in (0, 1, 4.9):
        bed.now = START + second
        assert bed.look(b"junk") == 401
    assert bed.saw == (1, 1)
    bed.now = START + 5
    assert bed.look(b"junk") == 401
    assert bed.saw == (2, 2)


@pytest.mark.parametrize(
    ("down", "token", "expected"),
    [
        pytest.param("a", b"bob", "bob", id="the other one knows it"),
        pytest.param("a", b"junk", 503, id="the one that is down may know it"),
        pytest.param("b", b"junk", 503, id="the last one is down"),
        pytest.param("b", b"ann", "ann", id="the first one knows it"),
        pytest.param("ab", b"ann", 503, id="both are down"),
    ],
)
def test_an_unreachable_server_makes_the_result_an_outage(down: str, token: bytes, expected: object) -> None:
    """401 is only for tokens that all servers called inactive."""
    bed = Bed(in_order=True)
    bed.a.up, bed.b.up = "a" not in down, "b" not in down
    assert bed.look(token) == expected


def test_a_late_result_is_delivered_like_an_immediate_one() -> None:
    """Each waiting request gets it once, whatever the number of servers."""
    bed = Bed(in_order=True)
    bed.a.at_once = bed.b.at_once = False
    clients = [bed.begin(b"bob") for _ in range(3)]
    assert [client.outcomes for client in clients] == [[]] * 3
    bed.a.respond()
    assert [client.outcomes for client in clients] == [[]] * 3
    bed.b.respond()
    assert [client.outcomes for client in clients] == [["bob"]] * 3
    assert bed.saw == (1, 1)


def test_in_an_outage_a_stale_entry_serves_rules_that_accept_it() -> None:
    """That of the server that gave it; the other server is not tried instead."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    bed.now = START + 70
    bed.b.up = False
    assert bed.look(b"bob", LookupOptions(stale=True)) == "bob"
    assert bed.look(b"bob") == 503
    assert bed.saw == (1, 3)


def test_a_rule_may_require_younger_results() -> None:
    """From the server that knows the token."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    bed.now = START + 6
    assert bed.look(b"bob", LookupOptions(max_age=5.0)) == "bob"
    assert bed.saw == (1, 2)


def test_a_revocation_is_noticed_at_the_server_that_issued_the_token() -> None:
    """The other server is not tried."""
    bed = Bed(in_order=True)
    bed.look(b"bob")
    del bed.b.tokens[b"bob"]
    bed.now = START + 60
    assert bed.look(b"bob") == 401
    assert bed.saw == (1, 2)


def test_caches_of_servers_are_separate() -> None:
    """A result of one server is never used for another."""
    bed = Bed()
    bed.a.tokens[b"same"], bed.b.tokens[b"same"] = {"sub": "ann"}, {"sub": "bob"}
    first, second = bed.verifier._issuers
    reverse = MultiIssuerVerifier((second, first), in_order=False, clock=lambda: bed.now)
    assert bed.look(b"same") == "ann"
    # The server that called it active is asked; a rule that accepts only the other server asks that server.
    alone = MultiIssuerVerifier((second,), in_order=False, clock=lambda: bed.now)
    client = FakeListener(show)
    entry = alone.verify(b"same", bed.now, client, LookupOptions())
    assert isinstance(entry, CacheEntry)
    assert entry.identity == b"bob"
    entry = reverse.verify(b"same", bed.now, client, LookupOptions())
    assert isinstance(entry, CacheEntry)
    assert entry.identity == b"bob"


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, "ann"),
        ({"a": {"issuers": frozenset({A})}}, "ann"),
        ({"a": {"issuers": frozenset({B})}}, 401),
        ({"a": {"audience": frozenset({"for a"})}}, "ann"),
        ({"a": {"audience": frozenset({"for b"})}}, 401),
        ({"b": {"audience": frozenset({"nothing"})}}, "ann"),
    ],
)
def test_each_server_has_its_own_issuer_and_audience(terms: dict[str, Any], expected: object) -> None:
    """Claims that suffice for one server do not suffice for another, which never sees the token."""
    for at_once in (True, False):
        bed = Bed(in_order=True, **terms)
        bed.a.at_once = at_once
        client = bed.begin(b"ann")
        bed.a.respond()
        assert client.outcomes == [expected]
        assert bed.saw == (1, 0)


def test_unseen_tokens_are_counted_for_each_lookup() -> None:
    """A rule with several servers in order counts several."""
    bed = Bed(in_order=True, burst=5)
    assert [bed.look(b"junk%d" % number) for number in range(3)] == [401, 401, 429]
    assert bed.look(b"ann") == 429


def test_a_cached_jwt_is_not_parsed_again() -> None:
    """The cache entry shows its server: scopes that admit no token do not matter any more."""
    bed = Bed()
    token = jwt(B)
    bed.b.tokens[token] = {"sub": "bob", "iss": B}
    assert bed.look(token) == "bob"
    none = IssuerScope(C)
    trusted = [replace(issuer, scope=none) for issuer in bed.verifier._issuers]
    bed.verifier = MultiIssuerVerifier(trusted, in_order=False, clock=lambda: bed.now)
    assert bed.look(token) == "bob"
    assert bed.look(jwt(A)) == 401
    assert bed.saw == (0, 1)


def test_a_result_holds_for_rules_that_accept_its_server() -> None:
    """A stream continues under a new rule.

    If several servers may have issued the token, the rule must accept all of them.
    """
    bed = Bed()
    both = bed.verifier
    first_issuer, other = (trusted.verifier for trusted in both._issuers)
    of_a = read_claims({"active": True, "iss": A})
    assert isinstance(of_a, ActiveToken)
    assert both.takes(of_a, first_issuer)
    assert both.takes(of_a, both)
    assert not first_issuer.takes(of_a, both)
    assert not first_issuer.takes(of_a, other)


def test_a_result_no_longer_holds_if_the_audience_changes() -> None:
    """A reload may narrow a server's audience; the audience of another server does not matter."""
    bed = Bed(b={"audience": frozenset({"for b"})})
    first_issuer, other = (trusted.verifier for trusted in bed.verifier._issuers)
    of_a = read_claims({"active": True, "iss": A, "aud": "for a"})
    of_b = read_claims({"active": True, "iss": B, "aud": "for a"})
    assert isinstance(of_a, ActiveToken)
    assert isinstance(of_b, ActiveToken)
    assert bed.verifier.takes(of_a, first_issuer)
    assert bed.verifier.takes(of_a, bed.verifier)
    assert not bed.verifier.takes(of_b, other)
    assert not bed.verifier.takes(of_b, bed.verifier)


def test_results_do_not_depend_on_the_cache_entries_of_other_rules() -> None:
    """Without order, a token goes only to the first server, whatever is cached."""
    bed = Bed()
    second = bed.verifier._issuers[1].verifier
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
def test_a_server_never_sees_a_token_of_another_issuer(domain: IssuerScope, admitted: set[bytes]) -> None:
    """A token whose issuer cannot be read is not this server's either."""
    every = {OPAQUE, OF_A, OF_B, OF_NOBODY, UNREADABLE, ANONYMOUS}
    assert {token for token in every if domain.admits(token)} == admitted


class OneResult:
    """A token source that responds to everything with one result."""

    def __init__(self, result: IntrospectionOutcome) -> None:
        self.seen: list[bytes] = []
        self.closed = False
        self.clock = Clock()
        self._result = result

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        self.seen.append(lookup.token)
        self.clock.call_soon(callback, self._result)
        return None

    def circuit_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def filtered(source: OneResult, scope: IssuerScope, token: bytes) -> IntrospectionOutcome:
    def call(callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        return IssuerFilter(source, scope).introspect(Lookup(token, "192.0.2.1"), callback)

    return outcome_of(call, source.clock)


def test_a_token_of_another_issuer_is_inactive_without_a_request() -> None:
    """CVE-2026-33496, skipper #4196: the token would be sent to a server that did not issue it."""
    source = OneResult(read_claims({"iss": A}))
    outcome = filtered(source, IssuerScope(A, frozenset({B})), OF_B)
    assert isinstance(outcome, RejectedToken)
    assert outcome.fault is JwtFault.ISSUER
    assert source.seen == []


def test_the_result_of_the_issuing_server_is_returned() -> None:
    """Also if it is an outage."""
    answer = read_claims({"iss": A})
    for outcome in (answer, INACTIVE, DOWN):
        source = OneResult(outcome)
        assert filtered(source, IssuerScope(A, frozenset({B})), OF_A) is outcome
        assert source.seen == [OF_A]


@pytest.mark.parametrize(("issuer", "counts"), [(A, True), (None, True), (C, True), (B, False)])
def test_a_server_cannot_confirm_tokens_of_another(issuer: str | None, counts: bool) -> None:
    """A token that it calls active, but that names another configured issuer, is inactive."""
    answer = read_claims({"iss": issuer})
    assert filtered(OneResult(answer), IssuerScope(A, frozenset({B})), OPAQUE) is (answer if counts else INACTIVE)


def test_close_and_circuit_state_are_passed_through() -> None:
    """To and from the source behind it."""
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
def test_the_servers_for_a_token_are_chosen_before_any_request(token: bytes, in_order: bool, chosen: str) -> None:
    """`choose` is pure: it sends no request and does not read the cache."""
    bed = Bed()
    issuers = bed.verifier._issuers
    assert list(choose(token, issuers, in_order=in_order)) == [issuers["ab".index(name)] for name in chosen]
    assert bed.saw == (0, 0)
