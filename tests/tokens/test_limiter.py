"""The token bucket of each client address."""

from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.limiter import AddressLimiter


def limiter(addresses: int = 10) -> AddressLimiter:
    return AddressLimiter(UnseenSettings(rate=10, burst=3, addresses=addresses))


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    """An early request gets the time to wait."""
    bucket = limiter()
    assert [bucket.wait("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.1]
    assert bucket.wait("a", 0.1) == 0.0
    assert bucket.wait("a", 0.1) > 0.0


def test_addresses_are_counted_separately() -> None:
    """A flood harms only its sender."""
    bucket = limiter()
    for _ in range(100):
        bucket.wait("flood", 0.0)
    assert bucket.wait("other", 0.0) == 0.0


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """After any time without a request."""
    bucket = limiter()
    bucket.wait("a", 0.0)
    assert [bucket.wait("a", 1e6) == 0.0 for _ in range(4)] == [True, True, True, False]


def test_a_clock_set_back_neither_fills_nor_empties_a_bucket() -> None:
    """It does not lock it either."""
    bucket = limiter()
    assert [bucket.wait("a", now) == 0.0 for now in (100.0, 50.0, 20.0)] == [True, True, True]
    assert bucket.wait("a", 20.0) > 0.0
    assert bucket.wait("a", 20.2) == 0.0


def test_the_least_recently_seen_address_is_evicted() -> None:
    """Memory is bounded, and an active address keeps its count."""
    bucket = limiter(addresses=2)
    for _ in range(3):
        bucket.wait("a", 0.0)
    bucket.wait("b", 0.0)
    assert bucket.wait("a", 0.0) > 0.0
    bucket.wait("c", 0.0)
    assert bucket.wait("a", 0.0) > 0.0


def test_give_back_undoes_a_count() -> None:
    """A sender of valid proofs is not limited."""
    bucket = limiter()
    for _ in range(10):
        assert bucket.wait("a", 0.0) == 0.0
        bucket.give_back("a")
    assert [bucket.wait("a", 0.0) == 0.0 for _ in range(4)] == [True, True, True, False]
