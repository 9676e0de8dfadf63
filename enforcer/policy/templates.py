"""Templates: paths that rules match, and texts with placeholders for parts of a request. Pure, compiled at load.

1. In a path, `{name}` stands for a segment or, with fixed text around it, for a part of one; it is never empty.
2. In a text, `{name}` stands for what the path or host has there, `{?name}` for a query parameter, `{#name}` for a
   field; `{{` and `}}` are braces. A placeholder that stands for nothing is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, final

from enforcer.errors import MalformedRequestError
from enforcer.policy.request_view import RequestView
from enforcer.wire.target import read_path

_SIMPLE: Final = re.compile(r"[A-Za-z0-9_~-]+")
_PARAMETER: Final = re.compile(r"([^{}]*)\{([A-Za-z_][A-Za-z0-9_]*)\}([^{}]*)")
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([?#]?)([A-Za-z0-9_.~-]+)\}|[{}]")
HOST_NAME: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\.")
"""The beginning of a host whose first label has a name."""
_MAX: Final = 0xFFFF
"""Maximum length of a segment's fixed text."""


class Affix(NamedTuple):
    """A segment with fixed text around `{name}`."""

    prefix: bytes
    suffix: bytes

    def matches(self, segment: bytes) -> bool:
        """Return whether a segment has the fixed text, and more between."""
        fits = len(segment) > len(self.prefix) + len(self.suffix)
        return fits and segment.startswith(self.prefix) and segment.endswith(self.suffix)

    @property
    def rank(self) -> bytes:
        """The sort key of specificity: more fixed text first; of equal lengths, more of it at the beginning."""
        return (_MAX - len(self.prefix) - len(self.suffix)).to_bytes(2, "big") + (_MAX - len(self.prefix)).to_bytes(
            2, "big"
        )


class Capture(NamedTuple):
    """The place of a `{name}` in a path: the segment's index, and the lengths of the fixed text around it."""

    segment: int
    prefix: int = 0
    suffix: int = 0

    def of(self, segments: Sequence[bytes]) -> bytes:
        """Return the value in a path that the template matches."""
        segment = segments[self.segment]
        return segment[self.prefix : len(segment) - self.suffix]


Segment = bytes | Affix | None
"""A segment of a template: a literal, `{name}` with fixed text around it, or None for `{name}`."""


class Path(NamedTuple):
    """A path template; `rest` is set if it ends in `**`. `names` are the places of its `{name}`."""

    segments: tuple[Segment, ...]
    rest: bool
    names: Mapping[str, Capture]

    @property
    def rank(self) -> bytes:
        """The sort key of specificity: of the templates that match a path, the lowest rank is the most specific."""
        kinds = [_rank(segment) for segment in self.segments]
        return b"".join([*kinds, b"\3"] if self.rest else kinds)

    def matches(self, segments: Sequence[bytes]) -> bool:
        """Return whether the template matches a path; the matcher decides the same for many templates at once."""
        own = self.segments
        if len(segments) < len(own) or (len(segments) > len(own) and not self.rest):
            return False
        return all(_matches(fixed, actual) for fixed, actual in zip(own, segments, strict=False))

    def sample(self, value: bytes) -> list[bytes]:
        """Return a path that the template matches, with a value for each `{name}`."""
        return [_filled(segment, value) for segment in self.segments]

    @staticmethod
    def parse(text: str) -> Path:
        """Parse a template; raises ValueError."""
        if not text.startswith("/"):
            raise ValueError("a path begins with /")
        parts = text[1:].split("/")
        rest = parts[-1] == "**"
        if rest:
            parts.pop()
        if "" in (parts if rest else parts[:-1]):
            raise ValueError("no request can have this path: it has an empty segment")
        segments: list[Segment] = []
        names: dict[str, Capture] = {}
        for index, part in enumerate(parts):
            parameter = _PARAMETER.fullmatch(part)
            if parameter is None:
                segments.append(_literal(part))
                continue
            name = parameter[2]
            if name in names:
                raise ValueError(f"duplicate {{{name}}} in the path")
            affix = Affix(_fixed(parameter[1]), _fixed(parameter[3]))
            names[name] = Capture(index, len(affix.prefix), len(affix.suffix))
            segments.append(affix if affix.prefix or affix.suffix else None)
        return Path(tuple(segments), rest, names)


def _rank(segment: Segment) -> bytes:
    if segment is None:
        return b"\2"
    return b"\1" + segment.rank if isinstance(segment, Affix) else b"\0"


def _matches(fixed: Segment, actual: bytes) -> bool:
    if fixed is None:
        return bool(actual)
    return fixed.matches(actual) if isinstance(fixed, Affix) else fixed == actual


def _filled(segment: Segment, value: bytes) -> bytes:
    if segment is None:
        return value
    return segment.prefix + value + segment.suffix if isinstance(segment, Affix) else segment


def _fixed(text: str) -> bytes:
    return _literal(text) if text.strip(".") else text.encode()


def _literal(part: str) -> bytes:
    if _SIMPLE.fullmatch(part):
        return part.encode()
    if "*" in part:
        raise ValueError("* is not a pattern here: use {name} for one segment, ** at the end for the rest")
    if "{" in part or "}" in part:
        raise ValueError("a segment has at most one {name}, which has only letters, digits and _")
    encoded = part.encode().replace(b" ", b"%20")
    encoded = b"".join(b"%%%02X" % byte if byte > 0x7F else bytes((byte,)) for byte in encoded)
    try:
        segments, ambiguous = read_path(b"/x/" + encoded)  # below a segment, so that dots do not lead above the root
    except MalformedRequestError as error:
        raise ValueError(f"no request can have this path: {error.why}") from None
    if ambiguous:
        raise ValueError("no rule can have this path: parsers read it differently; use {name} or **")
    literal = segments[1]
    if len(literal) > _MAX // 2:
        raise ValueError("a segment is too long")
    return literal


class Variable(NamedTuple):
    """A part of a request: `source` is `?` for a query parameter, `#` for a field, `host`, or `path`."""

    source: str
    name: bytes
    capture: Capture

    def read(self, request: RequestView) -> bytes | None:
        """Return its value; None if the request has none, or not in exactly one way."""
        if self.source == "path":
            return self.capture.of(request.segments)
        if self.source == "?":
            return request.parameter(self.name)
        return request.field(self.name) if self.source == "#" else request.host_label()


@final
class Text:
    """A text of which some parts are those of a request."""

    __slots__ = ("_separators", "parts", "written")

    def __init__(self, written: str, parts: Sequence[bytes | Variable]) -> None:
        self.written: Final = written
        self.parts: Final = parts
        self._separators: Final = [_separator(parts, index) for index in range(len(parts))]

    def fill(self, request: RequestView) -> bytes | None:
        """Return the text for a request; None if the request has no value for a part, or an ambiguous one.

        With `{org}:{team}`, the org `a:b` and the team `c` must not pass for the org `a` and the team `b:c`.
        """
        filled = b""
        for part, separator in zip(self.parts, self._separators, strict=True):
            value = part if isinstance(part, bytes) else part.read(request)
            if value is None or (separator and (value + separator).find(separator) != len(value)):
                return None
            filled += value
        return filled

    @property
    def fixed(self) -> str | None:
        """The text if no part of it depends on the request."""
        if all(isinstance(part, bytes) for part in self.parts):
            return b"".join([part for part in self.parts if isinstance(part, bytes)]).decode("utf-8", "surrogatepass")
        return None

    @property
    def variables(self) -> set[tuple[str, bytes]]:
        """The parts of a request that it has, each as its source and name."""
        return {(part.source, part.name) for part in self.parts if isinstance(part, Variable)}

    @property
    def captures(self) -> set[Capture]:
        """The places in the path that it has."""
        return {part.capture for part in self.parts if isinstance(part, Variable) and part.source == "path"}


def field_names(written: str) -> list[str]:
    """Return the names of the fields that a text has placeholders for."""
    return [match[2] for match in _PLACEHOLDER.finditer(written) if match[1] == "#"]


def _separator(parts: Sequence[bytes | Variable], index: int) -> bytes:
    """Return the text that separates a placeholder from the next one; empty if there is none."""
    following = parts[index + 1 : index + 3]
    if isinstance(parts[index], Variable) and len(following) == 2 and isinstance(following[0], bytes):
        return following[0]
    return b""


Names = Mapping[str, Variable]
"""The meaning of the names in a rule's path and host."""


def names_of(path: Path, host: str | None) -> Names:
    """Return what the names of a rule's path and host stand for; raises ValueError if one is in both."""
    names = {name: Variable("path", b"", capture) for name, capture in path.names.items()}
    label = None if host is None else HOST_NAME.match(host)
    if label is not None:
        if label[1] in names:
            raise ValueError(f"duplicate {{{label[1]}}} in host and path")
        names[label[1]] = Variable("host", b"", Capture(0))
    return names


def parse_text(written: str, names: Names) -> Text:
    """Parse a text with placeholders; raises ValueError if one stands for nothing."""
    parts: list[bytes | Variable] = []
    end = 0
    for match in _PLACEHOLDER.finditer(written):
        parts.append(written[end : match.start()].encode("utf-8", "surrogatepass"))
        end = match.end()
        whole, source, name = match[0], match[1], match[2]
        if whole in ("{{", "}}"):
            parts.append(whole[:1].encode())
        elif name is None:
            raise ValueError(
                f"{whole} is not part of a placeholder such as {{name}}; write {whole * 2} for the character"
            )
        elif source:
            parts.append(Variable(source, name.lower().encode() if source == "#" else name.encode(), Capture(0)))
        elif name in names:
            parts.append(names[name])
        else:
            raise ValueError(f"neither path nor host has {whole}")
    parts.append(written[end:].encode("utf-8", "surrogatepass"))
    return Text(written, _joined(parts))


def _joined(parts: Sequence[bytes | Variable]) -> list[bytes | Variable]:
    """Return the parts with fixed texts joined; raises ValueError if none is between two placeholders."""
    joined: list[bytes | Variable] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(last, bytes) and isinstance(part, bytes):
            joined[-1] = last + part
        elif part != b"":
            joined.append(part)
    if any(isinstance(part, Variable) and isinstance(after, Variable) for part, after in pairwise(joined)):
        raise ValueError("two placeholders need text between them: nobody could tell their values apart")
    return joined


def escaped(text: str) -> str:
    """Return a text as it must be written to stand for itself."""
    return text.replace("{", "{{").replace("}", "}}")


def fixed_text(written: str) -> str | None:
    """Return the text that a written one stands for in every request; None if it has a placeholder."""
    if any(match[2] is not None for match in _PLACEHOLDER.finditer(written)):
        return None
    return written.replace("{{", "{").replace("}}", "}")
