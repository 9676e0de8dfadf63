import pytest

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.jwt import KeySettings
from enforcer.tokens.refresh_schedule import Lifetime, RefreshSchedule

PAUSE = 30.0
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")
FIRST, SECOND = "first", "second"
START = 1000.0


def unfetched() -> RefreshSchedule[str]:
    return RefreshSchedule(lambda _: Lifetime(refresh=300.0, end=3600.0), PAUSE)


def fetched() -> RefreshSchedule[str]:
    freshness = unfetched()
    freshness.note(FIRST, START)
    return freshness


def test_before_the_first_fetch_there_is_nothing_and_one_is_due() -> None:
    """At once, whatever the clock shows."""
    for now in (0.0, 0.05, START):
        freshness = unfetched()
        assert freshness.good(now) is None
        assert freshness.is_due(now)
        assert freshness.admits(now)
        assert isinstance(freshness.last, IntrospectionError)


def test_one_is_due_again_before_anybody_needs_it() -> None:
    """And the last one serves meanwhile."""
    freshness = fetched()
    assert [freshness.is_due(START + after) for after in (0, 299.9, 300, 3599)] == [False, False, True, True]
    assert freshness.good(START + 3599) is FIRST
    freshness.note(SECOND, START + 300)
    assert freshness.good(START + 300) is freshness.last is SECOND
    assert not freshness.is_due(START + 599)


def test_who_needs_a_newer_one_gets_it_but_not_within_the_pause() -> None:
    """Whoever makes such a need up, with names of keys, makes one fetch in that time, and no more."""
    freshness = fetched()
    assert [freshness.admits(START + after) for after in (0, 1, 29.9, 30, 299)] == [False, False, False, True, True]
    freshness.note(SECOND, START + 30)
    assert [freshness.admits(START + after) for after in (30, 59.9, 60)] == [False, False, True]


def test_while_none_can_be_fetched_the_last_good_one_serves_to_its_end() -> None:
    """Then there is none: a key that was withdrawn must end at some time."""
    freshness = fetched()
    for after in (300, 1000, 3599):
        freshness.note(DOWN, START + after)
        assert freshness.good(START + after) is FIRST
        assert freshness.last is DOWN
    assert freshness.good(START + 3600) is None


def test_after_a_failure_it_is_tried_again_soon_and_then_less_often() -> None:
    """So that a server that has just come up is seen, and one that is down is not pressed."""
    freshness = unfetched()
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
    freshness = unfetched()
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


def test_each_lives_as_long_as_it_says() -> None:
    """An access token of our own knows its life; keys have that of the settings."""
    lives = {"short": Lifetime(refresh=5.0, end=10.0), "long": Lifetime(refresh=50.0, end=100.0)}
    freshness = RefreshSchedule(lives.__getitem__, PAUSE)
    for name, life in lives.items():
        freshness.note(name, START)
        assert [freshness.is_due(START + after) for after in (life.refresh - 0.1, life.refresh)] == [False, True]
        assert [freshness.good(START + after) for after in (life.end - 0.1, life.end)] == [name, None]


def test_one_that_is_worth_nothing_is_used_no_more_and_replaced_when_that_may_be() -> None:
    """At once, where the last fetch was long ago; else after the pause, whoever asks."""
    freshness = fetched()
    freshness.discard(DOWN)
    assert freshness.good(START) is None
    assert freshness.last is DOWN
    for asks in (freshness.admits, freshness.is_due):
        assert [asks(START + after) for after in (0, 29.9, 30)] == [False, False, True]
    freshness.note(SECOND, START + 30)
    assert freshness.good(START + 30) is SECOND
