from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.limiter import AddressLimiter


def limiter(addresses: int = 10) -> AddressLimiter:
    return AddressLimiter(UnseenSettings(rate=10, burst=3, addresses=addresses))


def test_a_burst_is_admitted_and_then_the_rate() -> None:
    """An early request gets the time to wait."""
    bucket = limiter()
    assert [bucket.wait("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.1]
    assert bucket.wait("a", 0.1) == 0.0
    assert bucket.wait("a", 0.1) > 0.0


def test_addresses_are_told_apart() -> None:
    """A flood harms only its sender."""
    bucket = limiter()
    for _ in range(100):
        bucket.wait("flood", 0.0)
    assert bucket.wait("other", 0.0) == 0.0


def test_a_long_silence_gives_no_more_than_a_burst() -> None:
    """However long it was."""
    bucket = limiter()
    bucket.wait("a", 0.0)
    assert [bucket.wait("a", 1e6) == 0.0 for _ in range(4)] == [True, True, True, False]


def test_a_clock_set_back_takes_nothing_and_gives_nothing() -> None:
    """The bucket neither fills nor locks."""
    bucket = limiter()
    assert [bucket.wait("a", now) == 0.0 for now in (100.0, 50.0, 20.0)] == [True, True, True]
    assert bucket.wait("a", 20.0) > 0.0
    assert bucket.wait("a", 20.2) == 0.0


def test_of_too_many_addresses_the_longest_unseen_is_forgotten() -> None:
    """Memory is bounded, and one in use keeps its count."""
    bucket = limiter(addresses=2)
    for _ in range(3):
        bucket.wait("a", 0.0)
    bucket.wait("b", 0.0)
    assert bucket.wait("a", 0.0) > 0.0
    bucket.wait("c", 0.0)
    assert bucket.wait("a", 0.0) > 0.0


def test_what_is_given_back_was_not_counted() -> None:
    """Requests with valid proofs are not limited."""
    bucket = limiter()
    for _ in range(10):
        assert bucket.wait("a", 0.0) == 0.0
        bucket.give_back("a")
    assert [bucket.wait("a", 0.0) == 0.0 for _ in range(4)] == [True, True, True, False]
