"""What came of the traffic: counts by kind and outcome, and what was wrong."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Counts from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrongs: list[str] = []

    def count(self, kind: str, outcome: object) -> None:
        """Count one exchange."""
        with self._lock:
            self.outcomes[kind, str(outcome)] += 1

    def wrong(self, what: str) -> None:
        """Note what must never happen."""
        with self._lock:
            self.wrongs.append(what)

    def lines(self) -> list[str]:
        """Write the counts, a kind a line."""
        kinds: dict[str, list[str]] = {}
        for (kind, outcome), count in sorted(self.outcomes.items()):
            kinds.setdefault(kind, []).append(f"{outcome}: {count}")
        return [f"{kind:<10} {', '.join(outcomes)}" for kind, outcomes in kinds.items()]
