"""The cache contract, driven by a fake clock, with every introspection counted."""

import logging

import pytest
from harness.verification import FakeListener, FakeSource

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionFailure
from enforcer.settings.cache import CacheSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.jwt.fault import EXPLANATIONS, JwtFault, RejectedToken
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.retention import Retention
from enforcer.tokens.verifier import CachingVerifier, LookupOptions, VerificationOutcome
from enforcer.wire.callback import Callback

START = 1_700_000_000.0
FRESH = LookupOptions()
STALE = LookupOptions(stale=True)


def show(outcome: VerificationOutcome) -> object:
    """Return the result, or the status and when to try again."""
    if isinstance(outcome, CacheEntry):
        return outcome.result
    return (503 if isinstance(outcome.reason, IntrospectionFailure) else 429), outcome.retry_after


class Bed:
    """A verifier with its counterparts; `look` is a request; the source responds at once, except with `wait`."""

    def __init__(self, **settings: float) -> None:
        self.now = START
        self.source = FakeSource({b"good": {"sub": "joe", "client_id": "app", "exp": START + 1000}})
        self.metrics = IntrospectionMetrics()
        self.cache: TokenCache = TokenCache(
            CacheSettings(**{"ttl": 60.0, "negative_ttl": 5.0, "refresh_ahead": 10.0, "stale": 100.0, **settings}),  # type: ignore[arg-type]
            Retention((), {}),
        )
        self.verifier = CachingVerifier(
            "main",
            self.source,
            self.cache,
            CacheKeys("main"),
            ClientLimiter(UnseenSettings(rate=1, burst=50)),
            lambda answer: (answer.subject or "").encode(),
            self.metrics,
            lambda: self.now,
            7,
        )

    def look(self, token: bytes = b"good", demand: LookupOptions = FRESH, *, wait: bool = False) -> FakeListener:
        client = FakeListener(show)
        outcome = self.verifier.verify(token, self.now, client, demand)
        assert client.outcomes == []
        if outcome is not None:
            client.on_verification(outcome)
        elif not wait:
            self.source.respond()
        return client

    def at(self, seconds: float) -> "Bed":
        self.now = START + seconds
        return self

    @property
    def calls(self) -> int:
        return len(self.source.seen)


def active(client: FakeListener) -> bool:
    return len(client.outcomes) == 1 and isinstance(client.outcomes[0], ActiveToken)


@pytest.mark.parametrize(
    ("members", "lifetime"),
    [
        pytest.param({"exp": START + 1000}, 60.0, id="ttl before exp"),
        pytest.param({"exp": START + 20}, 20.0, id="exp before ttl"),
        pytest.param({}, 60.0, id="without exp: only ttl"),
    ],
)
def test_an_active_result_is_cached_for_its_ttl_and_never_beyond_exp(
    members: dict[str, object], lifetime: float
) -> None:
    """One introspection for the whole time, and one more after it."""
    bed = Bed(refresh_ahead=0.0)
    bed.source.tokens[b"good"] = members
    for second in range(int(lifetime)):
        assert active(bed.at(second).look())
    assert bed.calls == 1
    bed.at(lifetime).look()
    assert bed.calls == 2
    assert (bed.metrics.hits, bed.metrics.misses) == (lifetime - 1, 2)


def test_an_inactive_result_is_cached_for_negative_ttl() -> None:
    """A token that becomes active a moment later is not refused for long."""
    bed = Bed()
    for second in (0, 1, 4.9):
        assert bed.at(second).look(b"new").outcomes == [INACTIVE]
    assert bed.calls == 1
    bed.source.tokens[b"new"] = {"exp": START + 1000}
    assert active(bed.at(5).look(b"new"))
    assert (bed.calls, bed.metrics.negative_hits) == (2, 2)


def test_one_introspection_serves_all_waiting_requests() -> None:
    """Each gets the result once."""
    bed = Bed()
    clients = [bed.look(wait=True) for _ in range(10)]
    bed.source.respond()
    assert all(map(active, clients))
    assert (bed.calls, bed.metrics.coalesced, bed.metrics.in_flight) == (1, 9, 0)


def test_an_error_goes_only_to_waiting_requests() -> None:
    """The next request introspects again."""
    bed = Bed()
    bed.source.up = False
    clients = [bed.look(wait=True) for _ in range(3)]
    bed.source.respond()
    assert [client.outcomes for client in clients] == [[(503, 7)]] * 3
    bed.source.up = True
    assert active(bed.look())
    assert bed.calls == 2


def test_a_token_in_use_is_refreshed_ahead() -> None:
    """No request waits, one introspection is made, and its result replaces the entry."""
    bed = Bed()
    bed.look()
    for second in (49, 50, 51, 52):
        assert active(bed.at(second).look(wait=True))
    assert bed.calls == 2
    bed.source.respond()
    assert active(bed.at(105).look(wait=True))
    assert bed.calls == 3
    assert bed.metrics.misses == 1


def test_an_unused_token_is_not_refreshed() -> None:
    """It costs the authorization server nothing."""
    bed = Bed()
    bed.look()
    bed.at(59.9)
    bed.source.respond()
    assert bed.calls == 1


def test_a_result_that_expires_with_its_token_is_not_refreshed() -> None:
    """A second result would expire at the same time."""
    bed = Bed()
    bed.source.tokens[b"good"] = {"exp": START + 30}
    bed.look()
    assert active(bed.at(29).look(wait=True))
    assert bed.calls == 1


def test_a_revocation_found_by_refresh_ahead_applies_at_once() -> None:
    """The entry is replaced although it had some seconds left."""
    bed = Bed()
    bed.look()
    bed.at(51).look(wait=True)
    del bed.source.tokens[b"good"]
    bed.source.respond()
    assert bed.look().outcomes == [INACTIVE]


def test_a_failed_refresh_keeps_the_entry() -> None:
    """Until it expires."""
    bed = Bed()
    bed.look()
    bed.source.up = False
    assert active(bed.at(51).look(wait=True))
    bed.source.respond()
    assert active(bed.at(59).look(wait=True))


def test_in_an_outage_a_stale_entry_serves_only_rules_that_accept_it() -> None:
    """`on_outage: stale` gets no error, `on_outage: deny` 503; an introspection is tried first for both."""
    bed = Bed(refresh_ahead=0.0)
    bed.look()
    bed.source.up = False
    assert active(bed.at(61).look(demand=STALE))
    assert bed.look(demand=FRESH).outcomes == [(503, 7)]
    both = [bed.look(demand=demand, wait=True) for demand in (STALE, FRESH)]
    bed.source.respond()
    assert [active(client) for client in both] == [True, False]
    assert bed.metrics.stale_hits == 2
    bed.source.up = True
    bed.look(demand=STALE)
    assert bed.metrics.stale_hits == 2


@pytest.mark.parametrize(("second", "serves"), [(61, True), (159.9, True), (160, False), (500, False)])
def test_a_stale_entry_has_a_bounded_lifetime(second: float, serves: bool) -> None:
    """`cache.stale` after its `ttl`."""
    bed = Bed(refresh_ahead=0.0)
    bed.look()
    bed.source.up = False
    assert active(bed.at(second).look(demand=STALE)) is serves


def test_a_stale_entry_is_never_used_beyond_exp() -> None:
    """The length of the outage does not matter."""
    bed = Bed(refresh_ahead=0.0)
    bed.source.tokens[b"good"] = {"exp": START + 70}
    bed.look()
    bed.source.up = False
    assert active(bed.at(69).look(demand=STALE))
    assert bed.at(70).look(demand=STALE).outcomes == [(503, 7)]


def test_an_inactive_result_is_never_stale() -> None:
    """No outage makes an inactive token active, or keeps it inactive."""
    bed = Bed()
    bed.look(b"new")
    bed.source.up = False
    assert bed.at(6).look(b"new", STALE).outcomes == [(503, 7)]


def test_a_rule_may_require_younger_results() -> None:
    """The younger result then serves all rules."""
    bed = Bed(refresh_ahead=0.0)
    strict = LookupOptions(max_age=5.0)
    bed.look()
    assert active(bed.at(5).look(demand=strict))
    assert bed.calls == 1
    assert active(bed.at(6).look(demand=strict, wait=False))
    assert bed.calls == 2
    assert active(bed.at(60).look())
    assert bed.calls == 2


def test_unseen_tokens_are_limited_and_cached_ones_are_not() -> None:
    """A flood gets the time to wait; no introspection is made beyond the limit."""
    bed = Bed()
    bed.look()
    outcomes = [bed.look(b"random%d" % number).outcomes[0] for number in range(100)]
    assert outcomes.count(INACTIVE) == 49
    assert outcomes.count((429, 1)) == 51
    assert bed.calls == 50
    assert active(bed.look())
    assert active(bed.at(61).look())


@pytest.mark.parametrize("selector", ["token", "subject", "client_id"])
def test_a_purged_token_is_introspected_again(selector: str) -> None:
    """Purged by token, subject or client."""
    bed = Bed()
    bed.look()
    if selector == "token":
        assert bed.verifier.purge(b"good")
        assert not bed.verifier.purge(b"other")
    elif selector == "subject":
        assert (sum(bed.cache.purge(subject="joe")), sum(bed.cache.purge(subject="joe"))) == (1, 0)
    else:
        assert (sum(bed.cache.purge(client_id="other")), sum(bed.cache.purge(client_id="app"))) == (0, 1)
    bed.look()
    assert bed.calls == 2


def test_identity_fields_are_written_once_for_each_result() -> None:
    """Not on each request."""
    bed = Bed()
    bed.look()
    entry = bed.verifier.verify(b"good", bed.now, FakeListener(show), FRESH)
    assert isinstance(entry, CacheEntry)
    assert entry.identity == b"joe"


def test_a_result_without_writable_identity_is_an_error() -> None:
    """Waiting requests get an error instead of waiting forever."""
    bed = Bed()
    bed.source.tokens[b"odd"] = {"sub": None}
    bed.verifier._write_identity = lambda answer: bytes(answer.claims["sub"])
    assert bed.look(b"odd").outcomes == [(503, 7)]
    assert bed.metrics.results == {"malformed": 1}


@pytest.mark.parametrize("selector", ["token", "subject"])
def test_a_result_requested_before_a_purge_is_not_cached(selector: str) -> None:
    """Waiting requests get it; the next request introspects again."""
    bed = Bed()
    client = bed.look(wait=True)
    if selector == "token":
        bed.verifier.purge(b"good")
    else:
        sum(bed.cache.purge(subject="joe"))
    bed.source.respond()
    assert active(client)
    bed.look()
    assert bed.calls == 2


@pytest.mark.parametrize("selector", ["token", "subject"])
def test_a_request_after_a_purge_waits_for_no_earlier_introspection(selector: str) -> None:
    """Its result may be from before the revocation, and the purge would not end a stream that begins with it."""
    bed = Bed()
    before = bed.look(wait=True)
    if selector == "token":
        bed.verifier.purge(b"good")
    else:
        sum(bed.cache.purge(subject="joe"))
    after = bed.look(wait=True)
    coalesced = bed.look(wait=True)
    assert bed.calls == 2
    bed.source.respond()
    assert [active(client) for client in (before, after, coalesced)] == [True] * 3
    assert bed.metrics.in_flight == 0


def test_an_exception_of_the_source_leaves_no_request_waiting() -> None:
    """The waiting request gets an error, and the next one does not wait for the failed call."""
    bed = Bed()

    def fail(lookup: Lookup, callback: object) -> None:
        raise RuntimeError("broken")

    bed.source.introspect = fail  # type: ignore[method-assign]
    assert bed.look().outcomes == [(503, 7)]
    assert bed.look().outcomes == [(503, 7)]
    assert bed.metrics.in_flight == 0


def test_a_callback_after_the_source_raised_is_ignored() -> None:
    """The failure was reported, and the requests that wait by now belong to another introspection."""
    bed = Bed()
    introspect = bed.source.introspect

    def fail_late(lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> None:
        introspect(lookup, callback)
        raise RuntimeError("broken")

    bed.source.introspect = fail_late  # type: ignore[method-assign]
    assert bed.look(wait=True).outcomes == [(503, 7)]
    bed.source.introspect = introspect  # type: ignore[method-assign]
    client = bed.look(wait=True)
    bed.source.respond()
    assert active(client)
    assert len(client.outcomes) == 1
    assert bed.metrics.in_flight == 0


def test_a_refresh_that_fails_at_once_is_not_a_stale_hit() -> None:
    """The request got the fresh entry, not a stale one."""
    bed = Bed()
    bed.look()
    bed.source.up, bed.source.at_once = False, True
    assert active(bed.at(55).look(demand=STALE))
    assert (bed.metrics.hits, bed.metrics.stale_hits) == (1, 0)


@pytest.mark.parametrize("fault", JwtFault)
def test_every_fault_of_a_jwt_is_counted_and_logged(fault: JwtFault, caplog: pytest.LogCaptureFixture) -> None:
    """Once when it is verified, not for each request. The log counts repetitions by the message's first argument."""
    bed = Bed()
    bed.source.results[b"bad"] = RejectedToken(fault)
    with caplog.at_level(logging.INFO, "enforcer.tokens"):
        for _ in range(3):
            bed.look(b"bad")
    assert bed.metrics.rejected == {fault: 1}
    assert bed.metrics.results == {"inactive": 1}
    (record,) = caplog.records
    assert record.getMessage() == f"a JWT is rejected: {fault}, authorization server main: {EXPLANATIONS[fault]}"
    assert isinstance(record.args, tuple)
    assert record.args[0] == f"{fault}, authorization server main"
    assert (record.levelno == logging.INFO) == (fault is JwtFault.EXPIRED)
