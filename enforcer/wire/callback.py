"""The convention for results that may take time.

A function that takes a `Callback` returns the result if it is known at once. Otherwise it returns None, and the
callback gets the result exactly once, after the function has returned. A failure is a value, and a result like any
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

Callback = Callable[[T], None]
