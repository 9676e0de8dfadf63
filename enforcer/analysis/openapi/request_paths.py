"""The paths of an operation's requests, and what they have in common with the paths of rules. Pure.

1. A parameter, wherever it stands in a segment, is any text that is not empty.
2. A sample stands for all requests that no rule can tell from it: where a parameter or a `{name}` may be any text, it
   has `filler`, a character that no fixed text has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from enforcer.policy.matcher import Node, continues_with
from enforcer.policy.templates import Affix, Path

PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
"""A parameter in a path of a document."""
_UNQUOTED: Final = "!$&'()*+,=:@~"
_FIRST_FILLER: Final = 0x4E00
"""Begins 20,000 letters that hardly any path has."""
_BYTE: Final = b"\0"
"""A byte that no path has."""

_MANY_WAYS: Final = 1000
"""Ways through the tries beyond which only the most general segments are sampled. Bounds time for a document of
repeated letters, whose segments overlap in many ways."""

T = TypeVar("T")


def filler_for(paths: Iterable[str]) -> bytes:
    """Return a character that no path has."""
    used = {*"".join(map(unquote, paths))}
    return next(chr(code) for code in range(_FIRST_FILLER, 0x10FFFF) if chr(code) not in used).encode()


def request_target(segments: Sequence[bytes]) -> str:
    """Return the request target of a path."""
    return "/" + "/".join(quote_from_bytes(segment, _UNQUOTED) for segment in segments)


class RequestPath(NamedTuple):
    """A path of a document: of each segment, the fixed texts around and between its parameters."""

    segments: tuple[tuple[bytes, ...], ...]

    @staticmethod
    def parse(path: str) -> RequestPath:
        """Parse a path, which begins with `/`."""
        parts = (PARAMETER.split(part)[::2] for part in path[1:].split("/"))
        return RequestPath(tuple(tuple(map(unquote_to_bytes, texts)) for texts in parts))

    def sample(self, filler: bytes) -> list[bytes]:
        """Return a request's path with a filler for each parameter."""
        return [filler.join(texts) for texts in self.segments]

    def includes(self, path: Path, filler: bytes) -> bool:
        """Return whether a rule's template matches only paths of these requests, and not all of them."""
        if path.rest or len(path.segments) != len(self.segments) or path.matches(self.sample(filler)):
            return False
        # A filler represents single bytes too, which cannot be the text of two parameters.
        segments = (segment.replace(filler, _BYTE) for segment in path.sample(filler))
        return all(map(_matches, self.segments, segments))

    def samples(self, nodes: Sequence[Node[T]], filler: bytes) -> Iterator[list[bytes]]:
        """Yield the path of a request for each way through a matcher's tries, the most general first."""
        yield self.sample(filler)
        ways: list[tuple[Node[T], list[bytes]]] = [(node, []) for node in nodes]
        for index, texts in enumerate(self.segments):
            following = []
            general = len(ways) > _MANY_WAYS
            for node, segments in ways:
                if node.rest is not None:
                    yield [*segments, *self.sample(filler)[index:]]
                following += [
                    (child, [*segments, segment]) for segment, child in _continued(node, texts, filler, general)
                ]
            ways = following
        yield from (segments for node, segments in ways if node.here is not None or node.rest is not None)


def _continued(node: Node[T], texts: Sequence[bytes], filler: bytes, general: bool) -> Iterator[tuple[bytes, Node[T]]]:
    """Yield the nodes that segments with these fixed texts lead to, each with one such segment if `general`."""
    if len(texts) == 1:
        yield from ((texts[0], child) for child in continues_with([node], texts[0]))
        return
    yield from ((literal, child) for literal, child in node.literals.items() if _matches(texts, literal))
    for affix, child in (node.affixes or {}).items():
        yield from ((segment, child) for segment in _common(texts, affix, filler)[: 1 if general else None])
    if node.parameter is not None:
        yield filler.join(texts), node.parameter


def _matches(texts: Sequence[bytes], segment: bytes) -> bool:
    """Return whether a segment has the fixed texts, with something for each parameter."""
    first, *between = texts
    if not between:
        return segment == first
    last = between.pop()
    if not (segment.startswith(first) and segment.endswith(last)):
        return False
    end = len(first)
    for text in between:
        start = segment.find(text, end + 1)
        if start < 0:
            return False
        end = start + len(text)
    return end < len(segment) - len(last)


def _common(texts: Sequence[bytes], affix: Affix, filler: bytes) -> list[bytes]:
    """Return segments that both match: the most general one, and those whose fixed texts meet or overlap."""
    first, *between, last = texts
    beginning, end = max(first, affix.prefix, key=len), max(last, affix.suffix, key=len)
    candidates = [filler.join((beginning, *between, end))]
    candidates += [beginning[: len(beginning) - length] + end for length in range(min(len(beginning), len(end)) + 1)]
    return [each for each in dict.fromkeys(candidates) if affix.matches(each) and _matches(texts, each)]
