"""The decision buffer: the records that it holds, for how long, and its behaviour if it is full."""

import tracemalloc
from typing import Any

import pytest
from harness.steps import steps

from enforcer.decision_log.buffer import DecisionBuffer, RecordQueue, RetentionSettings
from enforcer.decision_log.record import DecisionRecord
from enforcer.policy.decision import Evidence, Label
from enforcer.settings.log import Logged
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.claims import read_claims
from enforcer.tokens.retention import Retention

CLIENT = "192.0.2.1"
ALLOWED: Label = ("allow", "ok")
SIZE = DecisionRecord(0.0, None, b"GET", b"/", None, ALLOWED, None, None, None).size
DENIALS: list[Label] = [("deny", "no_rule"), ("would_deny", "no_rule"), ("error", "request_rejected")]


def record(
    label: Label, request_id: bytes | None = None, path: bytes = b"/", evidence: Evidence | None = None
) -> DecisionRecord:
    return DecisionRecord(0.0, request_id, b"GET", path, None, label, evidence, None, None)


def settings(
    denials: int = 3, logged: Logged = "none", backlog: int = 3, memory: int = 1_000_000, share: int = 100
) -> RetentionSettings:
    return RetentionSettings(
        denials=denials, denials_memory=memory, logged=logged, backlog=backlog, backlog_memory=memory, share=share
    )


def add(buffer: DecisionBuffer, client: str, record: DecisionRecord, settings: RetentionSettings) -> None:
    """Record a decision, as at the beginning and at the end of an exchange."""
    buffer.keep(client, record, settings)
    if settings.logs(record.label):
        buffer.log(client, record, settings)


def test_the_most_recent_denials_are_found_by_their_id() -> None:
    """As many as the settings say, the oldest first; several may have the same id."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for number in range(5):
        add(buffer, CLIENT, record(DENIALS[number % 3], b"%d" % (number % 2)), settings())
    add(buffer, CLIENT, record(ALLOWED, b"0"), settings())
    assert [denial.label for denial in buffer.find(b"0")] == [DENIALS[2], DENIALS[1]]
    assert [denial.label for denial in buffer.find(b"1")] == [DENIALS[0]]
    assert buffer.find(b"2") == []


def test_a_lower_limit_applies_from_the_next_denial_on() -> None:
    """The settings may change while the buffer is in use."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for _ in range(5):
        add(buffer, CLIENT, record(DENIALS[0], b"1"), settings(denials=5))
    add(buffer, CLIENT, record(DENIALS[1], b"1"), settings(denials=1))
    assert [denial.label for denial in buffer.find(b"1")] == [DENIALS[1]]
    add(buffer, CLIENT, record(DENIALS[1], b"1"), settings(denials=0))
    assert buffer.find(b"1") == []


@pytest.mark.parametrize(("logged", "expected"), [("none", []), ("denied", DENIALS), ("all", [ALLOWED, *DENIALS])])
def test_logged_decisions_wait_for_the_writer(logged: Logged, expected: list[Label]) -> None:
    """In the order in which they were made."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for label in (ALLOWED, *DENIALS):
        add(buffer, CLIENT, record(label), settings(logged=logged, backlog=10))
    assert [buffer.backlog.popleft().label for _ in range(len(buffer.backlog))] == expected
    assert buffer.dropped == 0


def test_records_that_find_the_backlog_full_are_dropped_and_counted() -> None:
    """The backlog is bounded, and accepts records again as soon as there is room."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for _ in range(5):
        add(buffer, CLIENT, record(ALLOWED), settings(logged="all"))
    assert (len(buffer.backlog), buffer.dropped) == (3, 2)
    buffer.backlog.popleft()
    add(buffer, CLIENT, record(DENIALS[0]), settings(logged="all"))
    assert (len(buffer.backlog), buffer.dropped) == (3, 2)


LARGE = [
    {"path": b"/" + b"x" * 8000},
    {"evidence": Retention(["groups"], {}).reduce(read_claims({"groups": ["x" * 8000]}))},
]


@pytest.mark.parametrize("large", LARGE, ids=["path", "token"])
def test_records_are_bounded_in_bytes(large: dict[str, Any]) -> None:
    """However large the requests and their tokens are: a tenth as many records of ten times the size."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    limits = settings(denials=1000, logged="denied", backlog=1000, memory=100_000)
    for _ in range(200):
        add(buffer, CLIENT, record(DENIALS[0], b"id", **large), limits)
        assert buffer.denials.size <= 100_000
        assert buffer.backlog.size <= 100_000
    assert len(buffer.find(b"id")) == len(buffer.backlog) in (10, 11)
    assert len(buffer.backlog) + buffer.dropped == 200
    while buffer.backlog:
        buffer.backlog.popleft()
    assert buffer.backlog.size == 0


def test_a_record_larger_than_the_memory_is_not_kept() -> None:
    """Nor does it keep others out."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for path in (b"/" + b"x" * 8000, b"/"):
        add(buffer, CLIENT, record(DENIALS[0], b"id", path), settings(logged="all", memory=2000))
    assert (len(buffer.find(b"id")), len(buffer.backlog), buffer.dropped) == (1, 1, 1)


def test_the_counted_size_is_the_size_in_memory() -> None:
    """A record takes no more than it counts, whatever its path."""
    for length in (1, 100, 8000):
        queue = RecordQueue()
        tracemalloc.start()
        try:
            for number in range(1000):
                added = record(DENIALS[0], b"%016x" % number, b"/" + b"a/" * length)
                queue.append(added, added.size)
            assert tracemalloc.get_traced_memory()[0] < queue.size
        finally:
            tracemalloc.stop()


def test_a_flood_of_denials_drops_its_own_clients_first() -> None:
    """The most recent denials of other clients can still be looked up."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    limits = settings(denials=9)
    for number in range(2):
        add(buffer, "other", record(DENIALS[0], b"other-%d" % number), limits)
    for number in range(100):
        add(buffer, "flood", record(DENIALS[0], b"flood-%d" % number), limits)
    assert [len(buffer.find(b"other-%d" % number)) for number in range(2)] == [1, 1]
    assert [number for number in range(100) if buffer.find(b"flood-%d" % number)] == list(range(93, 100))
    for number in range(5):
        add(buffer, "third", record(DENIALS[0], b"third-%d" % number), limits)
    assert [number for number in range(100) if buffer.find(b"flood-%d" % number)] == list(range(97, 100))


@pytest.mark.parametrize("clients", [10, 2000])
def test_the_number_of_clients_does_not_matter_for_the_work(clients: int) -> None:
    """Each denial in a full table drops another one, whose client is found without a look at all of them."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    limits = settings(denials=clients)
    for number in range(3 * clients):
        add(buffer, f"client {number % clients}", record(DENIALS[0]), limits)
    lines = sum(steps(lambda: add(buffer, "another", record(DENIALS[0]), limits)) for _ in range(100))
    assert lines < 100 * 60


def test_denials_of_several_clients_with_one_id_are_found_in_order() -> None:
    """A client may choose another client's id."""
    buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
    for number, client in enumerate(("one", "other", "one")):
        add(buffer, client, record(DENIALS[number], b"id")._replace(time=float(number)), settings())
    assert [denial.label for denial in buffer.find(b"id")] == DENIALS


@pytest.mark.parametrize(("backlog", "memory"), [(8, 1_000_000), (1_000_000, 8 * SIZE)], ids=["count", "bytes"])
def test_one_client_does_not_fill_the_backlog(backlog: int, memory: int) -> None:
    """Its records over the share are dropped, counted and reported; other clients' records are logged."""
    report = ShareReport(SharedTable.DECISION_LOG)
    buffer = DecisionBuffer(report)
    limits = settings(logged="all", backlog=backlog, memory=memory, share=50)
    for client in ("flood",) * 9 + ("other",):
        add(buffer, client, record(ALLOWED), limits)
    assert (len(buffer.backlog), buffer.dropped, report.count) == (5, 5, 5)
    for _ in range(5):
        buffer.backlog.popleft()
    for _ in range(9):
        add(buffer, "other", record(ALLOWED), limits)
    assert (len(buffer.backlog), buffer.dropped) == (4, 10)
