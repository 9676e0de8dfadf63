import pytest

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.freshness import Freshness
from enforcer.tokens.jwks import KeySet
from enforcer.tokens.jwt_settings import KeySettings

SETTINGS = KeySettings(refresh=300.0, max_age=3600.0, pause=30.0)
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")
FIRST = KeySet(())
SECOND = KeySet(())
START = 1000.0


def fetched(keys: KeySet = FIRST) -> Freshness:
    freshness = Freshness(SETTINGS)
    freshness.note(keys, START)
    return freshness


def test_before_the_first_fetch_there_are_no_keys_and_one_is_due() -> None:
    """At once, whatever the clock shows."""
    for now in (0.0, 0.05, START):
        freshness = Freshness(SETTINGS)
        assert freshness.keys(now) is None
        assert freshness.is_due(now)
        assert freshness.admits(now)
        assert isinstance(freshness.last, IntrospectionError)


def test_keys_are_due_again_before_anybody_needs_them() -> None:
    """And serve meanwhile."""
    freshness = fetched()
    assert [freshness.is_due(START + after) for after in (0, 299.9, 300, 3599)] == [False, False, True, True]
    assert freshness.keys(START + 3599) is FIRST
    freshness.note(SECOND, START + 300)
    assert freshness.keys(START + 300) is freshness.last is SECOND
    assert not freshness.is_due(START + 599)


def test_an_unknown_key_has_them_fetched_but_not_within_the_pause() -> None:
    """Whoever makes names up makes one fetch in that time, and no more."""
    freshness = fetched()
    assert [freshness.admits(START + after) for after in (0, 1, 29.9, 30, 299)] == [False, False, False, True, True]
    freshness.note(SECOND, START + 30)
    assert [freshness.admits(START + after) for after in (30, 59.9, 60)] == [False, False, True]


def test_while_they_cannot_be_fetched_the_last_good_ones_serve_for_a_time() -> None:
    """Then there are none: a key that was withdrawn must end at some time."""
    freshness = fetched()
    for after in (300, 1000, 3599):
        freshness.note(DOWN, START + after)
        assert freshness.keys(START + after) is FIRST
        assert freshness.last is DOWN
    assert freshness.keys(START + 3600) is None


def test_after_a_failure_it_is_tried_again_soon_and_then_less_often() -> None:
    """So that a server that has just come up is seen, and one that is down is not pressed."""
    freshness = Freshness(SETTINGS)
    waits = []
    now = START
    for _ in range(8):
        freshness.note(DOWN, now)
        wait = next(step for step in range(1, 100) if freshness.is_due(now + step))
        assert not freshness.is_due(now + wait - 0.1)
        assert not freshness.admits(now + wait - 0.1)
        assert freshness.admits(now + wait)
        waits.append(wait)
        now += wait
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_success_ends_the_waiting() -> None:
    """The next failure is the first again; however many there were, the numbers hold."""
    freshness = Freshness(SETTINGS)
    for _ in range(5000):
        freshness.note(DOWN, START)
    assert freshness.is_due(START + 30)
    freshness.note(FIRST, START)
    assert not freshness.is_due(START + 299)
    freshness.note(DOWN, START + 300)
    assert freshness.is_due(START + 301)


@pytest.mark.parametrize("max_age", [1.0, 300.0])
def test_keys_must_outlive_the_time_until_they_are_fetched_anew(max_age: float) -> None:
    """Else there would be none every so often."""
    with pytest.raises(ValueError):
        KeySettings(refresh=300.0, max_age=max_age)
