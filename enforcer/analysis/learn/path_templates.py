"""Derives path templates from paths: segments that vary become parameters, in bounded memory.

1. A segment that looks like an identifier becomes a parameter at once, also with an ending such as `.json` around it,
   and so does a segment with an encoded delimiter, which no rule can have as a literal.
2. So do all segments at a position with too many values. Merged segments stay merged, so that the order of the paths
   does not matter (up to `MAX_TEMPLATES`).
3. `generalize` merges further segments whose requests are alike; it is called once, after the last path.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, Self, TypeVar
from urllib.parse import quote

from enforcer.analysis.learn.delimiters import has_delimiter
from enforcer.policy.templates import Affix, Segment

VARIES: Final = 50
"""Maximum number of different literals at one position of a path; if there are more, they become a parameter."""
ALIKE: Final = 8
"""Minimum number of literals at one position that become a parameter if their requests are alike."""
MAX_TEMPLATES: Final = 20_000
"""Path templates kept apart; with more, fewer different values make a parameter. Bounds memory to some tens of MiB."""
_ENDINGS: Final = 3
"""Maximum number of different endings of the segments at one position that are part of the path."""
_VERSION_REQUESTS: Final = 20
"""Minimum number of requests that show that a version, which never varies, is part of the path: `/api/2`."""
_VERSION: Final = re.compile(rb"[0-9]{1,2}|[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?")
"""A short number, or a date: `/api/2024-01`."""

# Numbers, dates (RFC 3339), e-mail addresses, UUIDs (RFC 9562), digests and other keys: hexadecimal with a digit, or
# long with letters and digits
_IDENTIFIER: Final = (
    rb"[0-9]+|[0-9]{4}-[0-9]{2}(?:-[0-9]{2}(?:T[0-9:.+-]+Z?)?)?|[^@:]+@[^@:]+\.[a-z]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[^.:]*[0-9])[0-9a-f]{8,}"
    rb"|(?=[^.:]*[0-9])(?=[^.:]*[a-z])[0-9a-z_-]{20,}"
)
_ENDING: Final = rb"[.:][a-z][0-9a-z]*"
_PARAMETER: Final = re.compile(rb"(?:%b)(%b)?" % (_IDENTIFIER, _ENDING), re.IGNORECASE)
_WITH_ENDING: Final = re.compile(rb".+?(%b)" % _ENDING, re.IGNORECASE)
_SEPARATORS: Final = b"-_.:~"
_LITERAL: Final = frozenset((b"", b"me", b"self", b"current"))
"""Segments that never become a parameter: no parameter matches an empty one, and the others stand for the user."""


class Use(Protocol):
    """The record of a template."""

    @property
    def count(self) -> int:
        """Number of requests."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """The number of requests by kind, such as their method."""

    @property
    def traits(self) -> Mapping[tuple[str, str], int]:
        """The number of requests by kind and trait, such as a scope of the token."""

    def add(self, other: Self) -> None:
        """Add the record of a template that was merged into this one."""

    def is_own(self, depth: int) -> bool:
        """Return whether the segment at this depth is usually the subject of the token."""

    def stands_out(self, whole: Self) -> bool:
        """Return whether its requests have something in common that those of the whole, itself included, do not."""


U = TypeVar("U", bound=Use)


class _Node(Generic[U]):
    """The templates with one beginning. `segment` is the last segment of all their paths; None if it varied."""

    __slots__ = ("children", "merged", "segment", "use")

    def __init__(self, segment: bytes | None) -> None:
        self.use: U | None = None
        self.children: dict[Segment, _Node[U]] = {}
        self.merged = False
        self.segment = segment

    def child(self, segment: bytes, varies: int) -> _Node[U]:
        key = self._key(segment)
        child = self.children.get(key)
        if child is None:
            child = self.children[key] = _Node(segment)
            if self._merge(varies):
                child = self.children[self._key(segment)]
        if child.segment != segment:
            child.segment = None
        return child

    def add(self, other: _Node[U], varies: int) -> None:
        if other.segment != self.segment:
            self.segment = None
        if self.use is None:
            self.use = other.use
        elif other.use is not None:
            self.use.add(other.use)
        for key, node in other.children.items():
            self._put(None if self.merged and _varies(key) else key, node, varies)
        self._merge(-1 if other.merged else varies)

    def shrink(self, varies: int) -> None:
        """Merge literals by a lower bound."""
        self._merge(varies)
        for node in self.children.values():
            node.shrink(varies)

    def size(self) -> int:
        return 1 + sum(node.size() for node in self.children.values())

    def uses(self, path: tuple[Segment, ...] = ()) -> Iterator[tuple[tuple[Segment, ...], U]]:
        """Yield each template, relative to this node, and its record."""
        if self.use is not None:
            yield path, self.use
        for key, node in self.children.items():
            yield from node.uses((*path, key))

    def generalize(self, depth: int, varies: int, new: Callable[[], U]) -> None:
        """Merge literals whose requests are alike, from the longest paths to the shortest."""
        for node in self.children.values():
            node.generalize(depth + 1, varies, new)
        self._restore_version()
        uses = {
            key: dict(node.uses()) for key, node in self.children.items() if isinstance(key, bytes) and _varies(key)
        }
        own = [key for key, each in uses.items() if all(use.is_own(depth) for use in each.values())]
        groups = [own] if len(own) > 1 else []
        rest = {key: each for key, each in uses.items() if [own] != groups or key not in own}
        for literals in _by_ending(rest):
            groups += _alike(literals, new)
        for group in groups:
            parameter = _affix(group)
            for key in group:
                self._put(parameter, self.children.pop(key), varies)
            self.children[parameter].generalize(depth + 1, varies, new)

    def _key(self, segment: bytes) -> Segment:
        if has_delimiter(segment):
            return None
        match = None if segment in _LITERAL or self.merged else _PARAMETER.fullmatch(segment)
        if match is not None and match[1]:
            return Affix(b"", match[1])
        return None if match is not None or (self.merged and _varies(segment)) else segment

    def _put(self, key: Segment, node: _Node[U], varies: int) -> None:
        present = self.children.get(key)
        if present is None:
            self.children[key] = node
        else:
            present.add(node, varies)

    def _merge(self, varies: int) -> bool:
        keys = [key for key in self.children if _varies(key)]
        if self.merged or len(keys) <= varies:
            return self.merged
        self.merged = True
        for key in keys:
            self._put(None, self.children.pop(key), varies)
        return True

    def _restore_version(self) -> None:
        """Make a parameter that never varied a literal again, if it is more probably the version of an API."""
        node = self.children.get(None)
        if node is None or node.segment is None or node.segment in self.children:
            return
        if not _VERSION.fullmatch(node.segment):
            return
        if sum(use.count for _, use in node.uses()) >= _VERSION_REQUESTS:
            self.children[node.segment] = self.children.pop(None)


def _varies(key: Segment) -> bool:
    """Return whether a literal, or a parameter with fixed text, may become a parameter."""
    return key is not None and key not in _LITERAL


_Uses = Mapping[tuple[Segment, ...], U]
"""The records of the templates with one beginning, by the rest of the template."""


def _by_ending(literals: Mapping[bytes, _Uses[U]]) -> Iterable[Mapping[bytes, _Uses[U]]]:
    """Return literals by an ending such as `.json` or `:cancel`, if there are only a few endings."""
    by_ending: defaultdict[bytes, dict[bytes, _Uses[U]]] = defaultdict(dict)
    for key, uses in literals.items():
        match = _WITH_ENDING.fullmatch(key)
        by_ending[match[1] if match else b""][key] = uses
    return by_ending.values() if len(by_ending) <= _ENDINGS else [literals]


def _alike(literals: Mapping[bytes, _Uses[U]], new: Callable[[], U]) -> Iterator[list[bytes]]:
    """Yield groups of literals with the same kinds of requests, which have the same traits, below them."""
    counts = Counter((path, kind) for uses in literals.values() for path, use in uses.items() for kind in use.kinds)
    rest = {
        key: uses
        for key, uses in literals.items()
        if all(counts[path, kind] >= ALIKE for path, use in uses.items() for kind in use.kinds)
    }
    while len(rest) >= ALIKE:
        group = _with_main_traits(rest)
        whole: dict[tuple[Segment, ...], U] = {}
        for key in group:
            for path, use in rest[key].items():
                whole.setdefault(path, new()).add(use)
        alike = [key for key in group if not any(use.stands_out(whole[path]) for path, use in rest[key].items())]
        if len(alike) >= ALIKE:
            yield alike
        rest = {key: uses for key, uses in rest.items() if key not in group}
        if not group:
            return


def _with_main_traits(literals: Mapping[bytes, _Uses[U]]) -> list[bytes]:
    """Return the literals whose requests have, of each kind, the trait that the requests of most literals have."""
    numbers: defaultdict[tuple[tuple[Segment, ...], str], Counter[str]] = defaultdict(Counter)
    for uses in literals.values():
        for path, use in uses.items():
            kinds = use.kinds
            for (kind, trait), count in use.traits.items():
                numbers[path, kind][trait] += 2 * count >= kinds[kind]
    main = {key: min(traits, key=lambda trait: (-traits[trait], trait)) for key, traits in numbers.items()}
    return [key for key, uses in literals.items() if all(_has_main(path, use, main) for path, use in uses.items())]


def _has_main(path: tuple[Segment, ...], use: U, main: Mapping[tuple[tuple[Segment, ...], str], str]) -> bool:
    traits = use.traits
    for kind, count in use.kinds.items():
        trait = main.get((path, kind))
        # A single request without the trait, by an outdated token, must not lead to a rule of its own.
        if trait is not None and count - traits.get((kind, trait), 0) > max(1, count // 2):
            return False
    return True


def _affix(literals: Sequence[bytes]) -> Affix | None:
    """Return the parameter for literals, with the text around it that they share up to a separator."""
    prefix = _shared(literals)
    suffix = _shared([literal[len(prefix) :][::-1] for literal in literals])[::-1]
    if any(len(prefix) + len(suffix) >= len(literal) for literal in literals):
        return None
    return Affix(prefix, suffix) if prefix or suffix else None


def _shared(texts: Sequence[bytes]) -> bytes:
    """Return the beginning that all texts share, up to its last separator."""
    first, last = min(texts), max(texts)
    length = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    shared = first[:length]
    return shared[: max(shared.rfind(separator) for separator in _SEPARATORS) + 1]


class PathTemplates(Generic[U]):
    """Path templates, each with its record."""

    def __init__(self, new: Callable[[], U]) -> None:
        self._new = new
        self._root: _Node[U] = _Node(None)
        self._varies = VARIES
        self._made = 0

    def record_of(self, segments: Sequence[bytes]) -> U:
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

    def generalize(self) -> None:
        """Merge segments whose requests are alike, after the last path."""
        self._root.generalize(0, self._varies, self._new)

    def _bounded(self, segments: Sequence[bytes]) -> U:
        self._made = self._root.size()
        while self._made > MAX_TEMPLATES // 2 and self._varies:
            self._varies //= 2
            self._root.shrink(self._varies)
            self._made = self._root.size()
        return self.record_of(segments)

    def __iter__(self) -> Iterator[tuple[str, U]]:
        """Yield path templates and their records, sorted by template."""
        return iter(sorted(((_written(path), use) for path, use in self._root.uses()), key=lambda item: item[0]))


def _written(path: Sequence[Segment]) -> str:
    names = iter(["{id}", *(f"{{id{number}}}" for number in range(2, len(path) + 1))])
    parts = []
    for segment in path:
        if isinstance(segment, bytes):
            parts.append(quote(segment, safe=_UNQUOTED))
        else:
            prefix, suffix = segment or (b"", b"")
            parts.append(f"{quote(prefix, safe=_UNQUOTED)}{next(names)}{quote(suffix, safe=_UNQUOTED)}")
    return "/" + "/".join(parts)


_UNQUOTED: Final = "!$&'()+,=:@~"  # characters without meaning in a path template, unlike `*` and braces
