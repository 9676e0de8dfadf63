"""Finds the rule for a request: a trie over path segments for each host that rules name.

1. Host first: a rule for another host never matches; a rule without host matches every host.
2. Of the matching rules, the most specific path applies, segment by segment: a literal, then `{name}` with fixed
   text around it (more text first; of equal lengths, more of it at the beginning), then `{name}`, then `**`. The order
   of rules in the file does not matter.
3. Of the rules for one path, one for the exact host precedes one for `*.` and the rest of it, which precedes one for
   every host; each precedes the next only for its own methods.
4. If a path has a rule, less specific paths are not tried: a method which that rule leaves out is denied instead
   of allowed by a wider rule.
5. Matching costs time in the length of the path, not in the number of rules or hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from enforcer.policy.rules import UNSERVED
from enforcer.policy.templates import HOST_NAME, Affix, Path
from enforcer.wire.fields import host_name

T = TypeVar("T")


class RequestPattern(NamedTuple):
    """The scope of a rule: a path, methods (empty: all) and a host (None: all; `*.` for any first label)."""

    path: Path
    methods: tuple[str, ...]
    host: str | None


class Methods(dict[bytes | None, T]):
    """The matches of a path by method; None stands for all other methods. `rank` is the path's `Path.rank`."""

    __slots__ = ("rank",)

    def __init__(self, rank: bytes) -> None:
        super().__init__()
        self.rank: Final = rank


class Node(Generic[T]):
    """A node of a trie: what matches here, and what a path may continue with."""

    __slots__ = ("affixes", "here", "lengths", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, Node[T]] = {}
        self.affixes: dict[Affix, Node[T]] | None = None
        self.lengths: list[tuple[int, int]] = []  # of the affixes' texts, the most specific first
        self.parameter: Node[T] | None = None
        self.here: Methods[T] | None = None
        self.rest: Methods[T] | None = None


class Matcher(Generic[T]):
    """An immutable table from patterns to values, one for each rule."""

    def __init__(self, entries: Iterable[tuple[RequestPattern, T]]) -> None:
        self._any: Node[T] = Node()
        self._exact: dict[bytes, Node[T]] = {}
        self._wild: dict[bytes, Node[T]] = {}
        self.conflicts: list[tuple[T, str]] = []
        """Values whose pattern equals that of an earlier one, with the method concerned (`*` for all)."""
        for pattern, value in entries:
            self._add(pattern, value)
        self.by_host = bool(self._exact or self._wild)
        """Whether any rule names a host."""
        self.flat = not any(map(_continues, [self._any, *self._exact.values(), *self._wild.values()]))
        """Whether no rule depends on the path."""

    def find(self, segments: Sequence[bytes], method: bytes, host: bytes) -> T | None:
        """Return the match of a request, or None."""
        methods = self.matches(segments, host)
        return None if methods is None else choose(methods, method)

    def matches(self, segments: Sequence[bytes], host: bytes) -> Methods[T] | None:
        """Return the matches of a path at a host, for `choose`, or None."""
        methods = _walk(self._any, segments)
        return self._at_host(methods, segments, host) if self.by_host else methods

    def roots(self, host: bytes) -> list[Node[T]]:
        """Return the roots of the tries for a host."""
        roots = [self._any]
        if self.by_host:
            name = host_name(host)
            tries = self._exact.get(name), self._wild.get(name.partition(b".")[2])
            roots += [trie for trie in tries if trie is not None]
        return roots

    def _at_host(self, for_all: Methods[T] | None, segments: Sequence[bytes], host: bytes) -> Methods[T] | None:
        name = host_name(host)
        tries = self._exact.get(name), self._wild.get(name.partition(b".")[2])
        walked = [*(_walk(trie, segments) for trie in tries if trie is not None), for_all]
        matches = [methods for methods in walked if methods is not None]
        best = min((methods.rank for methods in matches), default=b"")
        matches = [methods for methods in matches if methods.rank == best]
        return _joined(matches) if len(matches) > 1 else matches[0] if matches else None

    def _trie(self, host: str | None) -> Node[T]:
        if host is None:
            return self._any
        name = HOST_NAME.sub("*.", host).lower().encode()
        if name.startswith(b"*."):
            return self._wild.setdefault(name[2:], Node())
        return self._exact.setdefault(name, Node())

    def _add(self, pattern: RequestPattern, value: T) -> None:
        path = pattern.path
        node = self._trie(pattern.host)
        for segment in path.segments:
            if isinstance(segment, bytes):
                node = node.literals.setdefault(segment, Node())
            elif segment is not None:
                node = _affixed(node, segment)
            else:
                if node.parameter is None:
                    node.parameter = Node()
                node = node.parameter
        methods: Methods[T]
        if path.rest:
            methods = node.rest = node.rest if node.rest is not None else Methods(path.rank)
        else:
            methods = node.here = node.here if node.here is not None else Methods(path.rank)
        keys: list[bytes | None] = [method.encode() for method in pattern.methods] or [None]
        for method in keys:
            # A rule for all methods conflicts with one for some of them, and vice versa.
            rivals = methods if method is None else (method, None)
            if any(other in methods for other in rivals):
                self.conflicts.append((value, "*" if method is None else method.decode()))
            methods.setdefault(method, value)


def _continues(node: Node[T]) -> bool:
    return bool(node.literals or node.affixes or node.parameter is not None)


def continues_with(nodes: Sequence[Node[T]], segment: bytes) -> list[Node[T]]:
    """Return the nodes that a segment leads to, of which the most specific need not be the one that matches."""
    children = []
    for node in nodes:
        if segment in node.literals:
            children.append(node.literals[segment])
        children += [child for affix, child in (node.affixes or {}).items() if affix.matches(segment)]
        if node.parameter is not None and segment:
            children.append(node.parameter)
    return children


def may_continue_with(nodes: Sequence[Node[T]], beginning: bytes) -> bool:
    """Return whether rules could tell segments with this beginning from others."""
    for node in nodes:
        if node.affixes is not None or node.parameter is not None:
            return True
        for literal in node.literals:
            if literal.startswith(beginning):
                return True
    return False


def _specificity(lengths: tuple[int, int]) -> tuple[int, int]:
    """Return the sort key of an affix's lengths, as `Affix.rank` is one."""
    return -lengths[0] - lengths[1], -lengths[0]


def _affixed(node: Node[T], affix: Affix) -> Node[T]:
    """Return the node of a segment with fixed text, added if it is new."""
    if node.affixes is None:
        node.affixes = {}
    child = node.affixes.get(affix)
    if child is None:
        child = node.affixes[affix] = Node()
        lengths = len(affix.prefix), len(affix.suffix)
        if lengths not in node.lengths:
            node.lengths = sorted([*node.lengths, lengths], key=_specificity)
    return child


def choose(methods: dict[bytes | None, T], method: bytes) -> T | None:
    """Return the match for a method, of the matches of a path; None if there is none."""
    value = methods.get(method)
    if value is not None:
        return value
    if method == b"HEAD":
        return choose(methods, b"GET")  # RFC 9110 §9.3.2: HEAD is GET without the content
    return None if method in UNSERVED else methods.get(None)


def _joined(matches: Sequence[Methods[T]]) -> Methods[T]:
    """Merge the matches of equal paths at a host, of which the first have the most specific host."""
    joined: Methods[T] = Methods(matches[0].rank)
    for methods in matches:
        joined.update({method: value for method, value in methods.items() if choose(joined, method or b"") is None})
    return joined


def _walk(root: Node[T], segments: Sequence[bytes]) -> Methods[T] | None:
    # Only a literal beside a parameter, or `{name}` with fixed text, can need backtracking.
    node = root
    methods: Methods[T] | None = None
    for segment in segments:
        if node.rest is not None:
            methods = node.rest
        child = node.literals.get(segment)
        if child is None:
            if node.affixes is not None:
                methods = _search(root, segments, 0, len(segments))
                break
            child = node.parameter if segment else None
            if child is None:
                break
        elif node.parameter is not None or node.affixes is not None:
            methods = _search(root, segments, 0, len(segments))
            break
        node = child
    else:
        if node.here is not None:
            methods = node.here
        elif node.rest is not None:
            methods = node.rest
    return methods


def _search(node: Node[T], segments: Sequence[bytes], index: int, end: int) -> Methods[T] | None:
    if index == end:
        return node.here if node.here is not None else node.rest
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None:
        methods = _search(child, segments, index + 1, end)
        if methods is not None:
            return methods
    if node.affixes is not None:
        for prefix, suffix in node.lengths:
            if len(segment) > prefix + suffix:
                child = node.affixes.get(Affix(segment[:prefix], segment[len(segment) - suffix :]))
                methods = None if child is None else _search(child, segments, index + 1, end)
                if methods is not None:
                    return methods
    child = node.parameter
    if child is not None and segment:
        methods = _search(child, segments, index + 1, end)
        if methods is not None:
            return methods
    return node.rest
