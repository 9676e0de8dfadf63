"""Allowances: events at once, and more each second."""

from __future__ import annotations

from enforcer.wire.http2.allowance import Allowance


def test_as_many_events_are_allowed_at_once_and_as_many_more_a_second() -> None:
    """Unused ones are not saved up."""
    allowance = Allowance(2, 0.0)
    assert [allowance.spend(0.0) for _ in range(3)] == [True, True, False]
    assert [allowance.spend(0.5) for _ in range(2)] == [True, False]
    assert [allowance.spend(100.0) for _ in range(3)] == [True, True, False]


def test_useful_events_allow_more_but_never_more_than_at_once() -> None:
    """The allowance is full again, and no fuller."""
    allowance = Allowance(2, 0.0)
    assert allowance.spend(0.0)
    allowance.earn(10)
    assert [allowance.spend(0.0) for _ in range(3)] == [True, True, False]
