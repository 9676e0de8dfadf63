"""Counts the fields of other contracts: they have no effect, but are a sign of a wrong `contract`, or of a forgery."""

from __future__ import annotations

import logging
from typing import Final

from enforcer.counters import DoorMetrics
from enforcer.decision_api.contracts import CONTRACTS, Contract, foreign_fields
from enforcer.proxy.messages.head import RequestHead

_log: Final = logging.getLogger("enforcer.decision_api")


class IgnoredFields:
    """Counts and logs such fields of one listener's requests. The log writes a line a minute for each field."""

    __slots__ = ("_address", "_contract", "_metrics", "_name")

    def __init__(self, name: str, address: str, metrics: DoorMetrics) -> None:
        self._name = name
        self._contract = CONTRACTS.get(name, Contract())
        self._address = address
        self._metrics = metrics

    def count(self, head: RequestHead) -> None:
        """Count the fields of a head that came from a caller."""
        if head.special is None:
            return
        for name in foreign_fields(self._contract, head):
            field = name.decode()
            self._metrics.ignored[field] += 1
            text = (
                "%s is not a field of `contract: %s`, and is ignored in requests to the decision API on %s: "
                "a client forges it, or the contract is not the caller's"
            )
            _log.warning(text, field, self._name, self._address)
