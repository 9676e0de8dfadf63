"""When a change of files is told, and when not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enforcer.operations.watcher import Watcher, look
from enforcer.operations.worker import WorkerThread

Test = Callable[[Watcher], Awaitable[None]]
EVERY = 0.01
REST = 0.05


def watching(test: Test, *paths: Path) -> None:
    """Run a test with a watcher of files that are as they are."""

    async def run() -> None:
        background = WorkerThread()
        watcher = Watcher(background, EVERY, REST)
        watcher.expected = look(paths)
        try:
            await asyncio.wait_for(test(watcher), 10)
        finally:
            background.close()

    asyncio.run(run())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("before")
    return path


def test_nothing_is_told_of_files_that_are_as_they_were_read(file: Path, tmp_path: Path) -> None:
    """However often it looks; a file that was missing and is missing still is no change."""

    async def test(watcher: Watcher) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * EVERY)

    watching(test, file, tmp_path / "missing")


@pytest.mark.parametrize("name", ["file", "missing"])
def test_a_file_that_changes_or_comes_is_told(file: Path, tmp_path: Path, name: str) -> None:
    """And told again, until it is expected as it is."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        (tmp_path / name).write_text("afterwards")
        await change
        await watcher.change()
        watcher.expected = look(watcher.expected)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * EVERY)

    watching(test, file, tmp_path / "missing")


def test_what_changed_between_its_reading_and_the_first_look_is_told(file: Path) -> None:
    """It is held against what was read."""

    async def test(watcher: Watcher) -> None:
        await asyncio.to_thread(file.write_text, "afterwards")
        await watcher.change()

    watching(test, file)


def test_a_burst_is_one_change_and_told_when_it_is_over(file: Path) -> None:
    """What is half written is not read."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        with file.open("w") as being_written:
            for _ in range(20):
                being_written.write("more")
                being_written.flush()
                await asyncio.sleep(REST / 5)
                assert not change.done()
        await change

    watching(test, file)


def test_files_that_find_no_rest_are_told_all_the_same(file: Path) -> None:
    """Somebody may write without end."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        number = 0
        while not change.done():
            os.utime(file, (number, number))
            number += 1
            await asyncio.sleep(EVERY)

    watching(test, file)


def test_who_wakes_it_is_told_at_once_though_nothing_changed(file: Path) -> None:
    """Once for all who woke it since."""

    async def test(watcher: Watcher) -> None:
        watcher.wake()
        watcher.wake()
        await watcher.change()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * EVERY)

    watching(test, file)
