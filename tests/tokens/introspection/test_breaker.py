from enforcer.settings.pool import BreakerSettings
from enforcer.tokens.introspection.breaker import CircuitBreaker

SETTINGS = BreakerSettings(failures=3, pause=2.0)


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(SETTINGS)
    for _ in range(3):
        assert breaker.allows(0.0)
        breaker.record_failure(0.0)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """One response in between resets the count."""
    breaker = CircuitBreaker(SETTINGS)
    for outcome in (breaker.record_failure, breaker.record_failure):
        outcome(0.0)
    breaker.record_success()
    for _ in range(2):
        breaker.record_failure(0.0)
    assert not breaker.is_open
    breaker.record_failure(0.0)
    assert breaker.is_open


def test_open_it_allows_no_call_until_its_pause_is_over() -> None:
    """Callers are refused at once."""
    breaker = opened()
    assert [breaker.allows(now) for now in (0.0, 1.0, 1.99)] == [False, False, False]
    assert breaker.allows(2.0)


def test_after_the_pause_one_call_is_made_alone() -> None:
    """A server that comes back is not met by all who waited."""
    breaker = opened()
    assert [breaker.allows(2.0) for _ in range(3)] == [True, False, False]


def test_the_call_after_the_pause_closes_it_or_opens_it_again() -> None:
    """And the pause starts again."""
    breaker = opened()
    assert breaker.allows(2.0)
    breaker.record_failure(2.5)
    assert [breaker.allows(now) for now in (4.4, 4.5)] == [False, True]
    breaker.record_success()
    assert not breaker.is_open
    assert breaker.allows(4.5)
