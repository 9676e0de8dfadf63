"""Reports that a client has its share of a table: counted always, and logged at most once a minute for each table."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

_log: Final = logging.getLogger("enforcer.shares")

_PAUSE: Final = 60.0
"""Seconds between two log lines about one table."""


class SharedTable(StrEnum):
    """The tables in which clients have shares: values of a metric label."""

    CONNECTIONS = "connections"
    MEMORY = "connection_memory"
    INPUT = "held_input"
    UPSTREAM = "upstream_connections"
    STREAMS = "upstream_streams"
    INTROSPECTION = "introspection_connections"
    ACTIVE = "active_tokens"
    INACTIVE = "inactive_tokens"
    PROOFS = "proofs"
    DECISION_LOG = "decision_log"


class ShareReport:
    """Counts how often a client's share kept it from a place in a table: `count`."""

    __slots__ = ("_logged", "_next_line", "count", "table")

    def __init__(self, table: SharedTable) -> None:
        self.table = table
        self.count = 0
        self._logged = 0
        self._next_line = float("-inf")

    def add(self, client: str | None, now: float) -> None:
        """Count one case; `now` is in seconds of any clock, always the same one."""
        self.count += 1
        if now >= self._next_line:
            self._next_line = now + _PAUSE
            since, self._logged = self.count - self._logged, self.count
            text = "client %s has its share of %s (limits.client_share); cases since the last such line: %d"
            _log.warning(text, client, self.table.value, since)
