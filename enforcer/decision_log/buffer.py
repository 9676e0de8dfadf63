"""The decision buffer: the most recent denials, and the queue of records that wait to be written to the log.

1. It holds no token, only the verification result, and no query.
2. It is bounded in bytes whatever clients do: the oldest denial is dropped, and a record that finds the queue full is
   not logged but counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from enforcer.decision_log.record import DecisionRecord
from enforcer.settings.log import Logged


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """Which denials are kept, which decisions are logged, and which of those may wait to be written.

    `denials` and `backlog` are numbers of records, `denials_memory` and `backlog_memory` their size in bytes.
    """

    denials: int
    denials_memory: int
    logged: Logged
    backlog: int
    backlog_memory: int


class RecordQueue:
    """Records in order, and their size in bytes. One thread may append, and another one take from the left."""

    __slots__ = ("_added", "_records", "_taken")

    def __init__(self) -> None:
        self._records: deque[DecisionRecord] = deque()
        # Two counters, since two threads must not change the same one.
        self._added = 0
        self._taken = 0

    @property
    def size(self) -> int:
        """Bytes of the records that wait."""
        return self._added - self._taken

    def append(self, record: DecisionRecord) -> None:
        """Add a record."""
        self._added += record.size
        self._records.append(record)

    def popleft(self) -> DecisionRecord:
        """Take the oldest record; raises IndexError if there is none."""
        record = self._records.popleft()
        self._taken += record.size
        return record

    def named(self, request_id: bytes) -> list[DecisionRecord]:
        """Return the records with a request id, oldest first."""
        return [record for record in self._records if record.request_id == request_id]

    def __len__(self) -> int:
        return len(self._records)


class DecisionBuffer:
    """The most recent denials, and the records that wait for the writer."""

    __slots__ = ("backlog", "denials", "dropped")

    def __init__(self) -> None:
        self.denials = RecordQueue()
        self.backlog = RecordQueue()
        """The writer, on another thread, takes records from its left."""
        self.dropped = 0
        """Number of records that were to be logged and found the backlog full."""

    def add(self, record: DecisionRecord, settings: RetentionSettings) -> None:
        """Keep a record for as long as the settings say."""
        denied = record.label[0] != "allow"
        if denied:
            denials = self.denials
            denials.append(record)
            while len(denials) > settings.denials or denials.size > settings.denials_memory:
                denials.popleft()
        if settings.logged == "all" or (denied and settings.logged == "denied"):
            backlog = self.backlog
            if len(backlog) < settings.backlog and backlog.size + record.size <= settings.backlog_memory:
                backlog.append(record)
            else:
                self.dropped += 1

    def find(self, request_id: bytes) -> list[DecisionRecord]:
        """Return the denials with a request id, oldest first: clients choose ids and may use one more than once."""
        return self.denials.named(request_id)
