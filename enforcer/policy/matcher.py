"""Finds what a request falls under: a trie over path segments.

1. The most specific path wins, segment by segment: a literal, then `{name}`, then `**`, whatever the order of rules.
2. Path first, then method, then host: a path that a rule claims is not looked for under a less specific one, so that
   a method or host which that rule leaves out is refused, not let through by a wider rule. Of the rules for one path,
   one that is not for the request's host does not stand in the way of another that is.
3. Matching costs the length of the path, not the number of rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from enforcer.policy.rules import UNSERVED, Path

T = TypeVar("T")


class Place(NamedTuple):
    """What a rule claims: a path, methods (none: all) and a host (None: all; `*.` for any first label)."""

    path: Path
    methods: tuple[str, ...]
    host: str | None


class Hosts(Generic[T]):
    """What one path and method lead to, by host."""

    __slots__ = ("any", "exact", "narrow", "wild")

    def __init__(self) -> None:
        self.any: T | None = None
        self.narrow = False
        self.exact: dict[bytes, T] = {}
        self.wild: dict[bytes, T] = {}

    def add(self, host: str | None, found: T) -> None:
        if host is None:
            self.any = found
            return
        self.narrow = True
        if host.startswith("*."):
            self.wild[host[2:].lower().encode()] = found
        else:
            self.exact[host.lower().encode()] = found

    def find(self, host: bytes) -> T | None:
        name = without_port(host).lower().removesuffix(b".")  # RFC 3986 §3.2.2: the dot of the root says nothing more
        found = self.exact.get(name)
        if found is None:
            found = self.wild.get(name.partition(b".")[2])
        return self.any if found is None else found


Methods = dict[bytes | None, Hosts[T]]
"""What a path leads to, by method; None stands for all others."""


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
        self._root: _Node[T] = _Node()
        self.conflicts: list[tuple[T, str]] = []
        """Entries that claim what an earlier one claims, with the method in question (`*` for all)."""
        for place, found in entries:
            self._add(place, found)

    def find(self, segments: Sequence[bytes], method: bytes, host: bytes) -> T | None:
        """Return what the request falls under, or None."""
        methods = self.at(segments)
        return None if methods is None else choose(methods, method, host)

    def at(self, segments: Sequence[bytes]) -> Methods[T] | None:
        """Return what the path leads to, for `choose`, or None."""
        # A literal beside a parameter is the only place where the way may have to be taken back.
        node = self._root
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
                methods = _search(self._root, segments, 0, len(segments))
                break
            node = child
        else:
            if node.here is not None:
                methods = node.here
            elif node.rest is not None:
                methods = node.rest
        return methods

    def _add(self, place: Place, found: T) -> None:
        node = self._root
        for segment in place.path.segments:
            if segment is not None:
                node = node.literals.setdefault(segment, _Node())
            else:
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
        methods: Methods[T]
        if place.path.rest:
            methods = node.rest = node.rest if node.rest is not None else {}
        else:
            methods = node.here = node.here if node.here is not None else {}
        wanted: list[bytes | None] = [method.encode() for method in place.methods] or [None]
        for method in wanted:
            # A rule for all methods claims those that another names, and the other way round.
            rivals = methods if method is None else (method, None)
            if any(other in methods and _clash(methods[other], place.host) for other in rivals):
                self.conflicts.append((found, "*" if method is None else method.decode()))
            methods.setdefault(method, Hosts()).add(place.host, found)


def choose(methods: Methods[T], method: bytes, host: bytes) -> T | None:
    """Return what a request falls under, of what its path leads to."""
    hosts = methods.get(method)
    if hosts is not None:
        found = hosts.find(host) if hosts.narrow else hosts.any
        if found is not None:
            return found
    if method == b"HEAD":
        return choose(methods, b"GET", host)  # RFC 9110 §9.3.2: HEAD is GET without the content
    hosts = methods.get(None)
    return None if hosts is None or method in UNSERVED else hosts.find(host)


def _clash(hosts: Hosts[T], host: str | None) -> bool:
    if host is None:
        return hosts.any is not None
    if host.startswith("*."):
        return host[2:].lower().encode() in hosts.wild
    return host.lower().encode() in hosts.exact


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
