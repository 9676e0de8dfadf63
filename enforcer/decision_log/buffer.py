"""The decision buffer: the most recent denials, and the queue of records that wait to be written to the log.

1. It holds no token, only the verification result, and no query.
2. It is bounded in bytes whatever clients do: a denial is dropped, and a record that finds the queue full is not logged
   but counted.
3. No client drops or keeps out another client's records: the denial that is dropped is the oldest of the client with
   the most, and each client has a share of the queue.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from enforcer.decision_log.record import DecisionRecord
from enforcer.policy.decision import Label
from enforcer.settings.log import Logged
from enforcer.shares import Holder, Observer, Shares

_OUTDATED: Final = 64
"""Outdated sizes that are kept at least before all are dropped together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """Which denials are kept, which decisions are logged, and which of those may wait to be written.

    `denials` and `backlog` are numbers of records, `denials_memory` and `backlog_memory` their size in bytes. `share`
    is the part of the backlog that one client may hold, in percent.
    """

    denials: int
    denials_memory: int
    logged: Logged
    backlog: int
    backlog_memory: int
    share: int

    def logs(self, label: Label) -> bool:
        """Return whether a decision is logged."""
        return self.logged == "all" or (self.logged == "denied" and label[0] != "allow")


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

    def append(self, record: DecisionRecord, size: int) -> None:
        """Add a record of this size."""
        self._added += size
        self._records.append(record)

    def popleft(self) -> DecisionRecord:
        """Take the oldest record; raises IndexError if there is none."""
        record = self._records.popleft()
        self._taken += record.size
        return record

    def __len__(self) -> int:
        return len(self._records)


class _Denials:
    """The denials of one client, oldest first, and their size in bytes."""

    __slots__ = ("records", "size")

    def __init__(self) -> None:
        self.records: deque[DecisionRecord] = deque()
        self.size = 0


class RecentDenials:
    """The most recent denials of each client. While there are too many, the client with the most loses its oldest."""

    __slots__ = ("_by_client", "_count", "_largest", "size")

    def __init__(self) -> None:
        self._by_client: dict[str, _Denials] = {}
        self._largest: list[tuple[int, str]] = []  # a heap of negative sizes; a client's present one is always in it
        self._count = 0
        self.size = 0
        """Bytes of the records."""

    def add(self, client: str, record: DecisionRecord, count: int, memory: int) -> None:
        """Add a record, and keep at most `count` ones of `memory` bytes."""
        denials = self._by_client.get(client)
        if denials is None:
            denials = self._by_client[client] = _Denials()
        size = record.size
        denials.records.append(record)
        denials.size += size
        self._count += 1
        self.size += size
        heappush(self._largest, (-denials.size, client))
        while self._count > count or self.size > memory:
            self._drop_one()

    def named(self, request_id: bytes) -> list[DecisionRecord]:
        """Return the records with a request id, oldest first."""
        records = [
            record
            for denials in self._by_client.values()
            for record in denials.records
            if record.request_id == request_id
        ]
        return sorted(records, key=_time)

    def _drop_one(self) -> None:
        while True:
            size, client = heappop(self._largest)
            denials = self._by_client.get(client)
            if denials is not None and denials.size == -size:
                break
        size = denials.records.popleft().size
        denials.size -= size
        self.size -= size
        self._count -= 1
        if denials.records:
            heappush(self._largest, (-denials.size, client))
        else:
            del self._by_client[client]
        if len(self._largest) > 2 * len(self._by_client) + _OUTDATED:
            self._largest = [(-denials.size, client) for client, denials in self._by_client.items()]
            heapify(self._largest)


def _time(record: DecisionRecord) -> float:
    return record.time


class DecisionBuffer:
    """The most recent denials, and the records that wait for the writer."""

    __slots__ = ("_held_back", "_owners", "_places", "backlog", "denials", "dropped")

    def __init__(self, held_back: Observer) -> None:
        self._held_back = held_back
        self._places = Shares(0, 0)  # each is a byte of the backlog
        self._owners: deque[tuple[Holder, int]] = deque()  # of the records in the backlog, and of some taken from it
        self.denials = RecentDenials()
        self.backlog = RecordQueue()
        """The writer, on another thread, takes records from its left."""
        self.dropped = 0
        """Number of records that were to be logged and found the backlog full."""

    def keep(self, client: str, record: DecisionRecord, settings: RetentionSettings) -> None:
        """Keep a denial of a client's request for as long as the settings say; any other decision is not kept."""
        if record.label[0] != "allow":
            self.denials.add(client, record, settings.denials, settings.denials_memory)

    def log(self, client: str, record: DecisionRecord, settings: RetentionSettings) -> None:
        """Let a record of a client's request wait for the writer, if there is room for it."""
        places, owners, backlog = self._places, self._owners, self.backlog
        places.size, places.share = settings.backlog_memory, settings.share
        while len(owners) > len(backlog):
            places.give_back(*owners.popleft())
        # A record counts for at least its part of the memory, so that no client fills the queue with small ones.
        size = record.size
        counted = max(size, settings.backlog_memory // settings.backlog)
        holder = places.take(client, counted)
        if holder is None:
            self.dropped += 1
            if places.size - places.used >= counted:
                self._held_back.add(client, record.time)
        else:
            owners.append((holder, counted))
            backlog.append(record, size)

    def find(self, request_id: bytes) -> list[DecisionRecord]:
        """Return the denials with a request id, oldest first: clients choose ids and may use one more than once."""
        return self.denials.named(request_id)
