"""The decision buffer: the records that it holds, for how long, and its behaviour if it is full."""

import pytest

from enforcer.decision_log.buffer import DecisionBuffer, RetentionSettings
from enforcer.decision_log.record import DecisionRecord
from enforcer.policy.decision import Label
from enforcer.settings.log import Logged

ALLOWED: Label = ("allow", "ok")
DENIALS: list[Label] = [("deny", "no_rule"), ("would_deny", "no_rule"), ("error", "request_rejected")]


def record(label: Label, request_id: bytes | None = None) -> DecisionRecord:
    return DecisionRecord(0.0, request_id, b"GET", b"/", [b""], None, label, None, None, None)


def settings(denials: int = 3, logged: Logged = "none", backlog: int = 3) -> RetentionSettings:
    return RetentionSettings(denials, logged, backlog)


def test_the_most_recent_denials_are_found_by_their_id() -> None:
    """As many as the settings say, the oldest first; several may have the same id."""
    buffer = DecisionBuffer()
    for number in range(5):
        buffer.add(record(DENIALS[number % 3], b"%d" % (number % 2)), settings())
    buffer.add(record(ALLOWED, b"0"), settings())
    assert [denial.label for denial in buffer.find(b"0")] == [DENIALS[2], DENIALS[1]]
    assert [denial.label for denial in buffer.find(b"1")] == [DENIALS[0]]
    assert buffer.find(b"2") == []


def test_a_lower_limit_applies_from_the_next_denial_on() -> None:
    """The settings may change while the buffer is in use."""
    buffer = DecisionBuffer()
    for _ in range(5):
        buffer.add(record(DENIALS[0], b"1"), settings(denials=5))
    buffer.add(record(DENIALS[1], b"1"), settings(denials=1))
    assert [denial.label for denial in buffer.find(b"1")] == [DENIALS[1]]
    buffer.add(record(DENIALS[1], b"1"), settings(denials=0))
    assert buffer.find(b"1") == []


@pytest.mark.parametrize(("logged", "expected"), [("none", []), ("denied", DENIALS), ("all", [ALLOWED, *DENIALS])])
def test_logged_decisions_wait_for_the_writer(logged: Logged, expected: list[Label]) -> None:
    """In the order in which they were made."""
    buffer = DecisionBuffer()
    for label in (ALLOWED, *DENIALS):
        buffer.add(record(label), settings(logged=logged, backlog=10))
    assert [waiting.label for waiting in buffer.backlog] == expected
    assert buffer.dropped == 0


def test_records_that_find_the_backlog_full_are_dropped_and_counted() -> None:
    """The backlog is bounded, and accepts records again as soon as there is room."""
    buffer = DecisionBuffer()
    for _ in range(5):
        buffer.add(record(ALLOWED), settings(logged="all"))
    assert (len(buffer.backlog), buffer.dropped) == (3, 2)
    buffer.backlog.popleft()
    buffer.add(record(DENIALS[0]), settings(logged="all"))
    assert (len(buffer.backlog), buffer.dropped) == (3, 2)
