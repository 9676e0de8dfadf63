"""The decision buffer: the most recent denials, and the queue of records that wait to be written to the log.

1. It holds no token, only the verification result, and no query.
2. It is bounded whatever clients do: the oldest denial is dropped, and a record that finds the queue full is not logged
   but counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from enforcer.decision_log.record import DecisionRecord
from enforcer.settings.log import Logged


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How many denials are kept, which decisions are logged, and how many of those may wait to be written."""

    denials: int
    logged: Logged
    backlog: int


class DecisionBuffer:
    """The most recent denials, and the records that wait for the writer."""

    __slots__ = ("_denials", "backlog", "dropped")

    def __init__(self) -> None:
        self._denials: deque[DecisionRecord] = deque()
        self.backlog: deque[DecisionRecord] = deque()
        """The writer, on another thread, takes records from its left."""
        self.dropped = 0
        """Number of records that were to be logged and found the backlog full."""

    def add(self, record: DecisionRecord, settings: RetentionSettings) -> None:
        """Keep a record for as long as the settings say."""
        denied = record.label[0] != "allow"
        if denied:
            denials = self._denials
            denials.append(record)
            while len(denials) > settings.denials:
                denials.popleft()
        if settings.logged == "all" or (denied and settings.logged == "denied"):
            if len(self.backlog) < settings.backlog:
                self.backlog.append(record)
            else:
                self.dropped += 1

    def find(self, request_id: bytes) -> list[DecisionRecord]:
        """Return the denials with a request id, oldest first: clients choose ids and may use one more than once."""
        return [record for record in self._denials if record.request_id == request_id]
