"""The circuit breaker."""

from enforcer.settings.pool import BreakerSettings
from enforcer.tokens.introspection.breaker import CircuitBreaker

SETTINGS = BreakerSettings(failures=3, pause=2.0)


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(SETTINGS)
    for _ in range(3):
        assert breaker.allows(0.0)
        breaker.record_failure(0.0)
    return breaker


def test_it_opens_after_the_configured_number_of_consecutive_failures() -> None:
    """One success restarts the count."""
    breaker = CircuitBreaker(SETTINGS)
    for outcome in (breaker.record_failure, breaker.record_failure):
        outcome(0.0)
    breaker.record_success()
    for _ in range(2):
        breaker.record_failure(0.0)
    assert not breaker.is_open
    breaker.record_failure(0.0)
    assert breaker.is_open


def test_an_open_breaker_allows_no_call_during_its_pause() -> None:
    """A caller learns this at once."""
    breaker = opened()
    assert [breaker.allows(now) for now in (0.0, 1.0, 1.99)] == [False, False, False]
    assert breaker.allows(2.0)


def test_after_the_pause_a_single_call_is_allowed() -> None:
    """A server that comes back is not flooded by all waiting requests."""
    breaker = opened()
    assert [breaker.allows(2.0) for _ in range(3)] == [True, False, False]


def test_the_call_after_the_pause_closes_it_or_opens_it_again() -> None:
    """If it opens again, so does its pause."""
    breaker = opened()
    assert breaker.allows(2.0)
    breaker.record_failure(2.5)
    assert [breaker.allows(now) for now in (4.4, 4.5)] == [False, True]
    breaker.record_success()
    assert not breaker.is_open
    assert breaker.allows(4.5)
