"""Finds what a request falls under: a trie over path segments, one for each host that rules name.

1. Host first: a rule for another host is as if it were not there; one without a host is there for all.
2. Of those that are, the most specific path wins, segment by segment: a literal, then `{name}`, then `**`, whatever
   the order of rules.
3. Of the rules for one path, one that names the host is before one for `*.` and its first label, and that before one
   for all hosts; each is before the next for the methods that it is for.
4. A path that a rule claims is not looked for under a less specific one, so that a method which that rule leaves out is
   refused, not let through by a wider rule.
5. Matching costs the length of the path, not the number of rules or hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from enforcer.policy.rules import UNSERVED, Path

T = TypeVar("T")


class Place(NamedTuple):
    """What a rule claims: a path, methods (none: all) and a host (None: all; `*.` for any first label)."""

    path: Path
    methods: tuple[str, ...]
    host: str | None


class Methods(dict[bytes | None, T]):
    """What a path leads to, by method; None stands for all others. `rank` is the path's, of `Path.rank`."""

    __slots__ = ("rank",)

    def __init__(self, rank: bytes) -> None:
        super().__init__()
        self.rank: Final = rank


class _Node(Generic[T]):
    __slots__ = ("here", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.here: Methods[T] | None = None
        self.rest: Methods[T] | None = None


class Matcher(Generic[T]):
    """An immutable table from places to whatever stands for a rule."""

    def __init__(self, entries: Iterable[tuple[Place, T]]) -> None:
        self._any: _Node[T] = _Node()
        self._exact: dict[bytes, _Node[T]] = {}
        self._wild: dict[bytes, _Node[T]] = {}
        self.conflicts: list[tuple[T, str]] = []
        """Entries that claim what an earlier one claims, with the method in question (`*` for all)."""
        for place, found in entries:
            self._add(place, found)
        self.by_host = bool(self._exact or self._wild)
        """Whether the host of a request makes a difference."""

    def find(self, segments: Sequence[bytes], method: bytes, host: bytes) -> T | None:
        """Return what the request falls under, or None."""
        methods = self.at(segments, host)
        return None if methods is None else choose(methods, method)

    def at(self, segments: Sequence[bytes], host: bytes) -> Methods[T] | None:
        """Return what the path leads to at a host, for `choose`, or None."""
        found = _walk(self._any, segments)
        return self._at_host(found, segments, host) if self.by_host else found

    def _at_host(self, for_all: Methods[T] | None, segments: Sequence[bytes], host: bytes) -> Methods[T] | None:
        name = without_port(host).lower().removesuffix(b".")  # RFC 3986 §3.2.2: the dot of the root says nothing more
        tries = self._exact.get(name), self._wild.get(name.partition(b".")[2])
        claimed = [*(_walk(trie, segments) for trie in tries if trie is not None), for_all]
        found = [methods for methods in claimed if methods is not None]
        best = min((methods.rank for methods in found), default=b"")
        found = [methods for methods in found if methods.rank == best]
        return _joined(found) if len(found) > 1 else found[0] if found else None

    def _trie(self, host: str | None) -> _Node[T]:
        if host is None:
            return self._any
        name = host.lower().encode()
        if name.startswith(b"*."):
            return self._wild.setdefault(name[2:], _Node())
        return self._exact.setdefault(name, _Node())

    def _add(self, place: Place, found: T) -> None:
        path = place.path
        node = self._trie(place.host)
        for segment in path.segments:
            if segment is not None:
                node = node.literals.setdefault(segment, _Node())
            else:
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
        methods: Methods[T]
        if path.rest:
            methods = node.rest = node.rest if node.rest is not None else Methods(path.rank)
        else:
            methods = node.here = node.here if node.here is not None else Methods(path.rank)
        wanted: list[bytes | None] = [method.encode() for method in place.methods] or [None]
        for method in wanted:
            # A rule for all methods claims those that another names, and the other way round.
            rivals = methods if method is None else (method, None)
            if any(other in methods for other in rivals):
                self.conflicts.append((found, "*" if method is None else method.decode()))
            methods.setdefault(method, found)


def choose(methods: Mapping[bytes | None, T], method: bytes) -> T | None:
    """Return what a request falls under, of what its path leads to."""
    found = methods.get(method)
    if found is not None:
        return found
    if method == b"HEAD":
        return choose(methods, b"GET")  # RFC 9110 §9.3.2: HEAD is GET without the content
    return None if method in UNSERVED else methods.get(None)


def _joined(found: Sequence[Methods[T]]) -> Methods[T]:
    """Join what the same path leads to at a host, those that name it most closely first."""
    joined: Methods[T] = Methods(found[0].rank)
    for methods in found:
        joined.update({method: one for method, one in methods.items() if choose(joined, method or b"") is None})
    return joined


def _walk(root: _Node[T], segments: Sequence[bytes]) -> Methods[T] | None:
    # A literal beside a parameter is the only place where the way may have to be taken back.
    node = root
    methods: Methods[T] | None = None
    for segment in segments:
        if node.rest is not None:
            methods = node.rest
        child = node.literals.get(segment)
        if child is None:
            child = node.parameter if segment else None
            if child is None:
                break
        elif node.parameter is not None:
            methods = _search(root, segments, 0, len(segments))
            break
        node = child
    else:
        if node.here is not None:
            methods = node.here
        elif node.rest is not None:
            methods = node.rest
    return methods


def _search(node: _Node[T], segments: Sequence[bytes], at: int, end: int) -> Methods[T] | None:
    if at == end:
        return node.here if node.here is not None else node.rest
    segment = segments[at]
    child = node.literals.get(segment)
    if child is not None:
        found = _search(child, segments, at + 1, end)
        if found is not None:
            return found
    child = node.parameter
    if child is not None and segment:
        found = _search(child, segments, at + 1, end)
        if found is not None:
            return found
    return node.rest


def without_port(host: bytes) -> bytes:
    """Return the name or address of a Host field's value."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0]
