"""The results of the traffic: exchanges counted by kind and outcome, and errors."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Collects counts and errors from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.errors: list[str] = []

    def count(self, kind: str, outcome: object) -> None:
        """Count one exchange."""
        with self._lock:
            self.outcomes[kind, str(outcome)] += 1

    def error(self, message: str) -> None:
        """Add an error: an event that must never happen."""
        with self._lock:
            self.errors.append(message)

    def lines(self) -> list[str]:
        """Return the counts as text, one line for each kind."""
        kinds: dict[str, list[str]] = {}
        for (kind, outcome), count in sorted(self.outcomes.items()):
            kinds.setdefault(kind, []).append(f"{outcome}: {count}")
        return [f"{kind:<10} {', '.join(outcomes)}" for kind, outcomes in kinds.items()]
