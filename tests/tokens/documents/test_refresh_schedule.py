"""The refresh schedule of a remote document."""

import pytest

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.jwt import KeySettings
from enforcer.tokens.documents.refresh_schedule import Lifetime, RefreshSchedule

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


def test_before_the_first_fetch_one_is_due_at_once() -> None:
    """At any time of the clock."""
    for now in (0.0, 0.05, START):
        schedule = unfetched()
        assert schedule.current(now) is None
        assert schedule.is_due(now)
        assert schedule.allows_fetch(now)
        assert isinstance(schedule.last, IntrospectionError)


def test_a_fetch_is_due_before_the_document_expires() -> None:
    """Meanwhile the last document is used."""
    schedule = fetched()
    assert [schedule.is_due(START + after) for after in (0, 299.9, 300, 3599)] == [False, False, True, True]
    assert schedule.current(START + 3599) is FIRST
    schedule.record(SECOND, START + 300)
    assert schedule.current(START + 300) is schedule.last is SECOND
    assert not schedule.is_due(START + 599)


def test_a_newer_document_can_be_requested_but_not_within_the_pause() -> None:
    """Invented key names cause one fetch in that time, not more."""
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


def test_if_fetches_fail_the_last_document_is_used_until_it_expires() -> None:
    """Then there is none: a withdrawn key must end at some time."""
    schedule = fetched()
    for after in (300, 1000, 3599):
        schedule.record(DOWN, START + after)
        assert schedule.current(START + after) is FIRST
        assert schedule.last is DOWN
    assert schedule.current(START + 3600) is None


def test_after_a_failure_retries_back_off() -> None:
    """A server that comes up soon is noticed, and one that stays down is not flooded."""
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


def test_a_success_resets_the_back_off() -> None:
    """The numbers hold after any number of failures."""
    schedule = unfetched()
    for _ in range(5000):
        schedule.record(DOWN, START)
    assert schedule.is_due(START + 30)
    schedule.record(FIRST, START)
    assert not schedule.is_due(START + 299)
    schedule.record(DOWN, START + 300)
    assert schedule.is_due(START + 301)


@pytest.mark.parametrize("max_age", [1.0, 300.0])
def test_max_age_must_exceed_the_refresh_interval(max_age: float) -> None:
    """Otherwise there would regularly be no keys."""
    with pytest.raises(ValueError):
        KeySettings(refresh=300.0, max_age=max_age)


def test_each_document_has_its_own_lifetime() -> None:
    """Our access token has a lifetime of its own; keys have that of the settings."""
    lives = {"short": Lifetime(refresh=5.0, end=10.0), "long": Lifetime(refresh=50.0, end=100.0)}
    schedule = RefreshSchedule(lives.__getitem__, PAUSE)
    for name, life in lives.items():
        schedule.record(name, START)
        assert [schedule.is_due(START + after) for after in (life.refresh - 0.1, life.refresh)] == [False, True]
        assert [schedule.current(START + after) for after in (life.end - 0.1, life.end)] == [name, None]
