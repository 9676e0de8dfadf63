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
    schedule = unfetched()
    schedule.record(FIRST, START)
    return schedule


def test_before_the_first_fetch_there_is_nothing_and_one_is_due() -> None:
    """At once, whatever the clock shows."""
    for now in (0.0, 0.05, START):
        schedule = unfetched()
        assert schedule.current(now) is None
        assert schedule.is_due(now)
        assert schedule.allows_fetch(now)
        assert isinstance(schedule.last, IntrospectionError)


def test_one_is_due_again_before_anybody_needs_it() -> None:
    """And the last one serves meanwhile."""
    schedule = fetched()
    assert [schedule.is_due(START + after) for after in (0, 299.9, 300, 3599)] == [False, False, True, True]
    assert schedule.current(START + 3599) is FIRST
    schedule.record(SECOND, START + 300)
    assert schedule.current(START + 300) is schedule.last is SECOND
    assert not schedule.is_due(START + 599)


def test_who_needs_a_newer_one_gets_it_but_not_within_the_pause() -> None:
    """Invented key names cause one fetch in that time, and no more."""
    schedule = fetched()
    assert [schedule.allows_fetch(START + after) for after in (0, 1, 29.9, 30, 299)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    schedule.record(SECOND, START + 30)
    assert [schedule.allows_fetch(START + after) for after in (30, 59.9, 60)] == [False, False, True]


def test_while_none_can_be_fetched_the_last_good_one_serves_to_its_end() -> None:
    """Then there is none: a key that was withdrawn must end at some time."""
    schedule = fetched()
    for after in (300, 1000, 3599):
        schedule.record(DOWN, START + after)
        assert schedule.current(START + after) is FIRST
        assert schedule.last is DOWN
    assert schedule.current(START + 3600) is None


def test_after_a_failure_it_is_tried_again_soon_and_then_less_often() -> None:
    """So that a server that has just come up is seen, and one that is down is not pressed."""
    schedule = unfetched()
    waits = []
    now = START
    for _ in range(8):
        schedule.record(DOWN, now)
        wait = next(step for step in range(1, 100) if schedule.is_due(now + step))
        assert not schedule.is_due(now + wait - 0.1)
        assert not schedule.allows_fetch(now + wait - 0.1)
        assert schedule.allows_fetch(now + wait)
        waits.append(wait)
        now += wait
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_success_ends_the_waiting() -> None:
    """The next failure is the first again; however many there were, the numbers hold."""
    schedule = unfetched()
    for _ in range(5000):
        schedule.record(DOWN, START)
    assert schedule.is_due(START + 30)
    schedule.record(FIRST, START)
    assert not schedule.is_due(START + 299)
    schedule.record(DOWN, START + 300)
    assert schedule.is_due(START + 301)


@pytest.mark.parametrize("max_age", [1.0, 300.0])
def test_keys_must_outlive_the_time_until_they_are_fetched_anew(max_age: float) -> None:
    """Otherwise, there would be gaps without a document."""
    with pytest.raises(ValueError):
        KeySettings(refresh=300.0, max_age=max_age)


def test_each_lives_as_long_as_it_says() -> None:
    """An access token of our own knows its life; keys have that of the settings."""
    lives = {"short": Lifetime(refresh=5.0, end=10.0), "long": Lifetime(refresh=50.0, end=100.0)}
    schedule = RefreshSchedule(lives.__getitem__, PAUSE)
    for name, life in lives.items():
        schedule.record(name, START)
        assert [schedule.is_due(START + after) for after in (life.refresh - 0.1, life.refresh)] == [False, True]
        assert [schedule.current(START + after) for after in (life.end - 0.1, life.end)] == [name, None]


def test_one_that_is_worth_nothing_is_used_no_more_and_replaced_when_that_may_be() -> None:
    """At once if the last fetch was long ago; otherwise after the pause, for every caller."""
    schedule = fetched()
    schedule.discard(DOWN)
    assert schedule.current(START) is None
    assert schedule.last is DOWN
    for asks in (schedule.allows_fetch, schedule.is_due):
        assert [asks(START + after) for after in (0, 29.9, 30)] == [False, False, True]
    schedule.record(SECOND, START + 30)
    assert schedule.current(START + 30) is SECOND
