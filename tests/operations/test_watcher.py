"""When the watcher reports a change of files, and when it does not, in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import virtual_time

from enforcer.operations.watcher import POLL_INTERVAL, REST, Watcher, signatures_of
from enforcer.operations.worker import WorkerThread

Test = Callable[[Watcher], Awaitable[None]]


def watch(test: Test, *paths: Path) -> None:
    """Run a test with a watcher that expects the files as they are now."""

    async def run() -> None:
        worker = WorkerThread()
        watcher = Watcher(worker)
        watcher.expected = signatures_of(paths)
        try:
            await test(watcher)
        finally:
            worker.close()

    virtual_time.run(run())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("before")
    return path


def test_unchanged_files_are_not_reported(file: Path, tmp_path: Path) -> None:
    """However often it polls. A missing file that stays missing is not a change."""

    async def test(watcher: Watcher) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * POLL_INTERVAL)

    watch(test, file, tmp_path / "missing")


@pytest.mark.parametrize("name", ["file", "missing"])
def test_a_changed_or_new_file_is_reported(file: Path, tmp_path: Path, name: str) -> None:
    """It is reported again until `expected` has its new signature."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        (tmp_path / name).write_text("afterwards")
        await change
        await watcher.change()
        watcher.expected = signatures_of(watcher.expected)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * POLL_INTERVAL)

    watch(test, file, tmp_path / "missing")


def test_a_change_between_reading_and_first_poll_is_reported(file: Path) -> None:
    """The poll compares with the signature at the time of reading."""

    async def test(watcher: Watcher) -> None:
        await asyncio.to_thread(file.write_text, "afterwards")
        await watcher.change()

    watch(test, file)


def test_several_changes_in_a_row_are_reported_once_at_the_end(file: Path) -> None:
    """A half-written file is not read."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        with file.open("w") as file_object:
            for _ in range(20):
                file_object.write("more")
                file_object.flush()
                await asyncio.sleep(REST / 5)
                assert not change.done()
        await change

    watch(test, file)


def test_files_that_never_come_to_rest_are_reported_anyway(file: Path) -> None:
    """A program may write to them without end."""

    async def test(watcher: Watcher) -> None:
        change = asyncio.create_task(watcher.change())
        number = 0
        while not change.done():
            os.utime(file, (number, number))
            number += 1
            await asyncio.sleep(POLL_INTERVAL)

    watch(test, file)


def test_wake_reports_a_change_at_once(file: Path) -> None:
    """Several calls are one report."""

    async def test(watcher: Watcher) -> None:
        watcher.wake()
        watcher.wake()
        await watcher.change()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.change(), 20 * POLL_INTERVAL)

    watch(test, file)
