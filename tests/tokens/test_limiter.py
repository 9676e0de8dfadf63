"""The token bucket of each client address."""

from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.limiter import ClientLimiter


def limiter(addresses: int = 10) -> ClientLimiter:
    return ClientLimiter(UnseenSettings(rate=10, burst=3, addresses=addresses))


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


def test_a_bucket_that_is_full_again_makes_room() -> None:
    """The one that was used longest ago first; memory is bounded."""
    bucket = limiter(addresses=2)
    bucket.wait("192.0.2.1", 0.0)
    for _ in range(4):
        bucket.wait("198.51.100.1", 0.0)
    assert [bucket.wait("203.0.113.1", 0.1) == 0.0 for _ in range(4)] == [True, True, True, False]
    assert bucket.wait("198.51.100.1", 0.1) == 0.0
    assert bucket.wait("198.51.100.1", 0.1) > 0.0


def test_many_addresses_reset_no_bucket() -> None:
    """A client with a great network would otherwise get bursts without end; it takes the places of no other network."""
    bucket = limiter(addresses=2)
    for client in ("192.0.2.1", "198.51.100.1"):
        for _ in range(4):
            bucket.wait(client, 0.0)
    allowed = [bucket.wait(f"2001:db8:{number:x}::/64", 0.0) == 0.0 for number in range(20)]
    assert allowed == [True] * 3 + [False] * 17
    assert bucket.wait("192.0.2.1", 0.0) > 0.0
    assert bucket.wait("2001:db9::/64", 0.0) == 0.0
    bucket.give_back("2001:db9::/64")
    assert [bucket.wait("2001:db9:1::/64", 0.0) == 0.0 for _ in range(4)] == [True, True, True, False]


def test_a_clock_set_back_keeps_no_bucket_forever() -> None:
    """The buckets are dropped instead."""
    bucket = limiter(addresses=1)
    for _ in range(4):
        bucket.wait("192.0.2.1", 100.0)
    assert [bucket.wait("198.51.100.1", 0.0) == 0.0 for _ in range(4)] == [True, True, True, False]


def test_give_back_undoes_a_count() -> None:
    """A sender of valid proofs is not limited."""
    bucket = limiter()
    for _ in range(10):
        assert bucket.wait("a", 0.0) == 0.0
        bucket.give_back("a")
    assert [bucket.wait("a", 0.0) == 0.0 for _ in range(4)] == [True, True, True, False]
