"""mypyc's decorator of classes, without the package mypy_extensions, which only the compiler needs.

mypyc reads it when it translates a module. At run time it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**attributes):
        """Return a decorator that leaves a class as it is."""
        return lambda cls: cls


__all__ = ("mypyc_attr",)
