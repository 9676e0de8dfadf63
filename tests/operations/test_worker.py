"""Work beside the loop, and letting go of what is large."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from enforcer.operations.worker import WorkerThread, free


def test_work_is_done_in_another_thread_by_short_turns() -> None:
    """Its outcome is returned or raised, and the turns are as long as before when it is over."""

    def work(divisor: int) -> tuple[int, str, float]:
        return 1 // divisor, threading.current_thread().name, sys.getswitchinterval()

    async def run() -> None:
        background = WorkerThread()
        result, name, turn = await background.run(work, 1)
        assert (result, name != threading.current_thread().name) == (1, True)
        assert turn < 0.001
        with pytest.raises(ZeroDivisionError):
            await background.run(work, 0)
        background.close()

    before = sys.getswitchinterval()
    asyncio.run(run())
    assert sys.getswitchinterval() == before


class Node:
    """Something with parts."""

    def __init__(self, *parts: Any) -> None:
        self.parts = list(parts)


def test_what_nobody_else_holds_is_freed_from_the_outside_in() -> None:
    """Each thing goes before its parts, so that none takes all of them along; what somebody holds stays whole."""
    kept = Node(Node())
    inner = Node(kept)
    outer = Node({"key": (inner,)})
    order: list[str] = []
    for name, node in (("outer", outer), ("inner", inner)):
        weakref.finalize(node, order.append, name)
    inside = weakref.ref(kept.parts[0])
    roots: list[object] = [outer]
    del node, outer, inner
    gc.disable()
    try:
        free(roots)
    finally:
        gc.enable()
    assert (roots, order) == ([], ["outer", "inner"])
    assert inside() is kept.parts[0]


def test_a_deep_chain_is_freed_without_a_deep_stack() -> None:
    """Nor does it matter how long it is."""
    chain = Node()
    end = weakref.ref(chain)
    for _ in range(100_000):
        chain = Node(chain)
    roots: list[object] = [chain]
    del chain
    free(roots)
    assert end() is None


def test_what_is_let_go_of_is_freed_and_late_comers_are_too() -> None:
    """When the thread has ended, at the latest when the list is."""

    async def run() -> None:
        background = WorkerThread()
        first, second = Node(), Node()
        gone = [weakref.ref(first), weakref.ref(second)]
        roots: list[list[object]] = [[first], [second]]
        del first, second
        background.let_go(roots[0])
        await background.run(int)
        background.close()
        background.let_go(roots.pop())
        assert [node() for node in gone] == [None, None]

    asyncio.run(run())
