"""Notices that files have changed, by looking at them time and again: there is no file system where that does not work.

1. A look is at what a path leads to: elsewhere, where a link on the way was swapped, as in a ConfigMap's folder.
2. A change is told when the files have come to rest, so that many at once are one, and what is being written is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from enforcer.config.sources import Files, Signature, signature
from enforcer.operations.worker import WorkerThread

EVERY: Final = 1.0
"""Seconds between two looks."""
REST: Final = 0.2
"""Seconds without another change after which the files are taken to be at rest."""
_MOST_LOOKS: Final = 25
"""Looks for the files to come to rest; those that find none are taken as they are."""


class Watcher:
    """Watches files, each of which is expected to be as it was when it was read; looks `every` so many seconds."""

    def __init__(self, background: WorkerThread, every: float = EVERY, rest: float = REST) -> None:
        self._background = background
        self._every = every
        self._between = rest
        self._woken = asyncio.Event()
        self.expected: Mapping[Path, Signature] = {}
        """As what each file is expected to be found."""

    def wake(self) -> None:
        """Tell of a change, whether or not there was one."""
        self._woken.set()

    async def change(self) -> None:
        """Return when the files are others than expected, and at rest; or when woken."""
        while not await self._wakes_within(self._every):
            found = await self._look()
            if found != self.expected:
                await self._rest(found)
                return
        self._woken.clear()

    async def _rest(self, found: Files) -> None:
        for _ in range(_MOST_LOOKS):
            await asyncio.sleep(self._between)
            before, found = found, await self._look()
            if found == before:
                return

    async def _look(self) -> Files:
        return await self._background.run(look, self.expected)

    async def _wakes_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return False
        return True


def look(paths: Iterable[Path]) -> Files:
    """Tell as what each path is found."""
    return {path: signature(path) for path in paths}
