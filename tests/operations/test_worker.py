"""The worker thread, and freeing large object trees in small steps."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from enforcer.operations.worker import WorkerThread, free


def test_work_runs_on_another_thread_in_short_turns() -> None:
    """Its result is returned or raised, and the switch interval is restored afterwards."""

    def work(divisor: int) -> tuple[int, str, float]:
        return 1 // divisor, threading.current_thread().name, sys.getswitchinterval()

    async def run() -> None:
        worker = WorkerThread()
        result, name, interval = await worker.run(work, 1)
        assert (result, name != threading.current_thread().name) == (1, True)
        assert interval < 0.001
        with pytest.raises(ZeroDivisionError):
            await worker.run(work, 0)
        worker.close()

    before = sys.getswitchinterval()
    asyncio.run(run())
    assert sys.getswitchinterval() == before


class Node:
    """An object with children."""

    def __init__(self, *children: Any) -> None:
        self.children = list(children)


def test_objects_without_other_references_are_freed_parents_first() -> None:
    """An object is freed before its children, so no step frees a whole tree. A shared object stays."""
    shared = Node(Node())
    inner = Node(shared)
    outer = Node({"key": (inner,)})
    order: list[str] = []
    for name, node in (("outer", outer), ("inner", inner)):
        weakref.finalize(node, order.append, name)
    inside = weakref.ref(shared.children[0])
    roots: list[object] = [outer]
    del node, outer, inner
    gc.disable()
    try:
        free(roots)
    finally:
        gc.enable()
    assert (roots, order) == ([], ["outer", "inner"])
    assert inside() is shared.children[0]


def test_a_long_chain_is_freed_without_deep_recursion() -> None:
    """100,000 objects would exceed any recursion limit."""
    chain = Node()
    end = weakref.ref(chain)
    for _ in range(100_000):
        chain = Node(chain)
    roots: list[object] = [chain]
    del chain
    free(roots)
    assert end() is None


def test_free_later_frees_objects_also_after_close() -> None:
    """After `close`, they are freed together with the list."""

    async def run() -> None:
        worker = WorkerThread()
        first, second = Node(), Node()
        references = [weakref.ref(first), weakref.ref(second)]
        roots: list[list[object]] = [[first], [second]]
        del first, second
        worker.free_later(roots[0])
        await worker.run(int)
        worker.close()
        worker.free_later(roots.pop())
        assert [reference() for reference in references] == [None, None]

    asyncio.run(run())
