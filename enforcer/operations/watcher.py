"""Polls files for changes, because polling works on every file system (inotify does not).

1. A poll follows links: a file counts as changed if a link on its path is swapped, as in a mounted ConfigMap.
2. A change is reported once the files are at rest, so that several changes at once are one, and no file is read half
   written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from enforcer.config.documents.sources import Files, Signature, signature
from enforcer.operations.worker import WorkerThread

POLL_INTERVAL: Final = 1.0
"""Seconds between two polls."""
REST: Final = 0.2
"""Seconds without a further change after which the files are at rest."""
_MAX_REST_POLLS: Final = 25
"""Polls until the files are read even if they never come to rest."""


class Watcher:
    """Watches files on a worker thread, and reports when they differ from `expected`. Times are in seconds."""

    def __init__(self, worker: WorkerThread, interval: float = POLL_INTERVAL, rest: float = REST) -> None:
        self._worker = worker
        self._interval = interval
        self._rest_time = rest
        self._woken = asyncio.Event()
        self.expected: Mapping[Path, Signature] = {}
        """The watched files, with their signatures when they were read."""

    def wake(self) -> None:
        """Report a change now, even if there is none."""
        self._woken.set()

    async def change(self) -> None:
        """Return once the files differ from `expected` and are at rest, or `wake` was called."""
        while not self._woken.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._interval)
                break
            signatures = await self._poll()
            if signatures != self.expected:
                await self._rest(signatures)
                break
        # The read that follows also serves a signal that came meanwhile.
        self._woken.clear()

    async def _rest(self, signatures: Files) -> None:
        for _ in range(_MAX_REST_POLLS):
            await asyncio.sleep(self._rest_time)
            previous, signatures = signatures, await self._poll()
            if signatures == previous:
                return

    async def _poll(self) -> Files:
        return await self._worker.run(signatures_of, self.expected)


def signatures_of(paths: Iterable[Path]) -> Files:
    """Return the current signature of each path."""
    return {path: signature(path) for path in paths}
