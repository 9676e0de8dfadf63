"""The convention for results that may take time.

A function that takes a `Callback` returns the result if it is known at once. Otherwise it returns None, and the
callback gets the result exactly once, after the function has returned. A failure is a value, and a result like any
other. `Operation` is such a function; `chain` and `convert` make longer ones of several.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Bound = TypeVarTuple("Bound")

Callback = Callable[[T], None]
Operation = Callable[[Callback[T]], T | None]


def chain(
    first: Operation[A], second: Callable[[*Bound, A, Callback[B]], B | None], callback: Callback[B], *bound: *Bound
) -> B | None:
    """Call `first`, then `second` with the arguments in `bound`, the result of `first`, and a callback."""
    # Partial objects, not nested functions: compiled, those would hold each other, and with them the token.
    result = first(partial(_continue, second, callback, bound))
    return None if result is None else second(*bound, result, callback)


def convert(first: Operation[A], second: Callable[[*Bound, A], B], callback: Callback[B], *bound: *Bound) -> B | None:
    """As `chain`, if `second` returns its result at once."""
    result = first(partial(_conclude, second, callback, bound))
    return None if result is None else second(*bound, result)


def _continue(
    second: Callable[[*Bound, A, Callback[B]], B | None], callback: Callback[B], bound: tuple[*Bound], result: A
) -> None:
    final = second(*bound, result, callback)
    if final is not None:
        callback(final)


def _conclude(second: Callable[[*Bound, A], B], callback: Callback[B], bound: tuple[*Bound], result: A) -> None:
    callback(second(*bound, result))
