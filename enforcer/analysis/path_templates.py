"""Derives path templates from paths: segments that vary become parameters, in bounded memory.

1. A segment that looks like an identifier becomes a parameter; so do all segments at a position with too many values.
2. Merged segments stay merged, so that the order of the paths does not matter (up to `MAX_TEMPLATES`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, Self, TypeVar
from urllib.parse import quote

VARIES: Final = 50
"""Maximum number of different literals at one position of a path; if there are more, they become a parameter."""
MAX_TEMPLATES: Final = 20_000
"""PathTemplates kept apart; with more, fewer different values make a parameter. Bounds memory to some tens of MiB."""

# Numbers, UUIDs (RFC 9562), digests and other keys: hexadecimal with a digit, or long with letters and digits
_IDENTIFIER: Final = re.compile(
    rb"[0-9]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=.*[0-9])[0-9a-f]{8,}"
    rb"|(?=.*[0-9])(?=.*[a-z])[0-9a-z_-]{20,}",
    re.IGNORECASE,
)


class Use(Protocol):
    """The record of a template."""

    def add(self, other: Self) -> None:
        """Add the record of a template that was merged into this one."""


U = TypeVar("U", bound=Use)


class _Node(Generic[U]):
    __slots__ = ("literals", "merged", "parameter", "use")

    def __init__(self) -> None:
        self.use: U | None = None
        self.literals: dict[bytes, _Node[U]] = {}
        self.parameter: _Node[U] | None = None
        self.merged = False

    def child(self, segment: bytes, varies: int) -> _Node[U]:
        # A parameter never matches an empty segment, which a path that ends in a slash has.
        if segment and (self.merged or _IDENTIFIER.fullmatch(segment)):
            return self._parameter()
        child = self.literals.get(segment)
        if child is None:
            child = self.literals[segment] = _Node()
            if self._merge_literals(varies) and segment:
                return self._parameter()
        return child

    def add(self, other: _Node[U], varies: int) -> None:
        if other.use is not None:
            if self.use is None:
                self.use = other.use
            else:
                self.use.add(other.use)
        if other.parameter is not None:
            self._parameter().add(other.parameter, varies)
        for segment, node in other.literals.items():
            into = self._parameter() if segment and self.merged else self.literals.setdefault(segment, _Node())
            into.add(node, varies)
        self._merge_literals(-1 if other.merged else varies)

    def shrink(self, varies: int) -> None:
        """Merge literals by a lower bound."""
        self._merge_literals(varies)
        for node in (*self.literals.values(), *filter(None, [self.parameter])):
            node.shrink(varies)

    def size(self) -> int:
        return 1 + sum(node.size() for node in (*self.literals.values(), *filter(None, [self.parameter])))

    def _parameter(self) -> _Node[U]:
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter

    def _merge_literals(self, varies: int) -> bool:
        different = len(self.literals) - (b"" in self.literals)
        if self.merged or different <= varies:
            return self.merged
        self.merged = True
        literals = self.literals
        self.literals = {segment: node for segment, node in literals.items() if not segment}
        for segment, node in literals.items():
            if segment:
                self._parameter().add(node, varies)
        return True


class PathTemplates(Generic[U]):
    """Path templates, each with its record."""

    def __init__(self, new: Callable[[], U]) -> None:
        self._new = new
        self._root: _Node[U] = _Node()
        self._varies = VARIES
        self._made = 0

    def at(self, segments: Sequence[bytes]) -> U:
        """Return the record of a path's template. Update it at once, because a later merge may drop it."""
        node = self._root
        for segment in segments:
            node = node.child(segment, self._varies)
        if node.use is None:
            node.use = self._new()
            self._made += len(segments)  # upper bound of the number of new nodes
            if self._made > MAX_TEMPLATES:
                return self._bounded(segments)
        return node.use

    def _bounded(self, segments: Sequence[bytes]) -> U:
        self._made = self._root.size()
        while self._made > MAX_TEMPLATES // 2 and self._varies:
            self._varies //= 2
            self._root.shrink(self._varies)
            self._made = self._root.size()
        return self.at(segments)

    def __iter__(self) -> Iterator[tuple[str, U]]:
        """Yield path templates and their records, sorted by template."""
        return iter(sorted(_walk(self._root, "", 1), key=lambda item: item[0]))


def _walk(node: _Node[U], path: str, number: int) -> Iterator[tuple[str, U]]:
    if node.use is not None:
        yield path, node.use
    for segment, child in node.literals.items():
        yield from _walk(child, f"{path}/{quote(segment, safe=_UNQUOTED)}", number)
    if node.parameter is not None:
        yield from _walk(node.parameter, f"{path}/{{id{number if number > 1 else ''}}}", number + 1)


_UNQUOTED: Final = "!$&'()+,=:@~"  # characters without meaning in a path template, unlike `*` and braces
