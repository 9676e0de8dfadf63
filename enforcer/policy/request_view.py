"""The parts of a request that conditions read. Pure, and read only for rules with such conditions.

A value that apps may read differently counts as absent: a parameter or field that is sent twice, or whose name another
spelling of which is sent too, is as good as none, so that a condition on it is not met.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, final
from urllib.parse import unquote_to_bytes

from enforcer.wire.fields import FOLD, OWS, host_name

_MALFORMED: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SEPARATORS: Final = re.compile(rb"[&;]")
_BRACKETS: Final = re.compile(rb"[\[\]]")
_FOLDED_BRACKETS: Final = bytes.maketrans(b"[]", b"__")
_MAX_PAIRS: Final = 100
"""Maximum number of pairs; qs and PHP, for example, ignore those after the first 1,000."""
_LOOSE: Final = bytes(ord(b"_") if byte in b". +" else ord(chr(byte).lower()) for byte in range(128)) + bytes(
    range(128, 256)
)


@final
class RequestView:
    """One request, as conditions see it.

    `segments` are the decoded path, `query` is as sent. `lines` are the field lines that are forwarded, in pieces:
    name, `b": "`, value, `b"\\r\\n"`. `address` is the client's, behind trusted proxies; empty if it is unknown.
    """

    __slots__ = ("address", "host", "lines", "query", "segments")

    def __init__(
        self,
        segments: Sequence[bytes],
        query: bytes = b"",
        host: bytes = b"",
        lines: Sequence[bytes] = (),
        address: str = "",
    ) -> None:
        self.segments: Final = segments
        self.query: Final = query
        self.host: Final = host
        self.lines: Final = lines
        self.address: Final = address

    def host_label(self) -> bytes:
        """Return the first label of the host, in lower case."""
        return host_name(self.host).partition(b".")[0]

    def field(self, name: bytes) -> bytes | None:
        """Return the value of the only field with this lower-case name; None if an app may read another one.

        Interfaces like CGI turn `X-Tenant` and `X_Tenant` into the same variable.
        """
        folded = name.translate(FOLD)
        value: bytes | None = None
        for index in range(0, len(self.lines), 4):
            sent = self.lines[index]
            if sent.translate(FOLD) == folded:
                if value is not None or sent.lower() != name:
                    return None
                value = self.lines[index + 2].strip(OWS)
        return value

    def pairs(self, names: Iterable[bytes]) -> bytes:
        """Return the query with only the pairs that an app may read for these names.

        If the query is one of which no parameter has a value, the result is `%`, of which none has a value either.
        """
        wanted: set[bytes] = set()
        for name in names:
            wanted |= _readings(name)
        if not wanted:
            return b""
        if not self._is_readable():
            return b"%"
        pairs = [pair for pair in self.query.split(b"&") if any(_sent_as(part, wanted) for part in pair.split(b";"))]
        return b"&".join(pairs)

    def fields(self, names: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the lines of the fields that an app may read for these names, in pieces; of a name, at most two.

        Two are enough to see that it has no value.
        """
        left = {name.translate(FOLD): 2 for name in names}
        pieces: list[bytes] = []
        for index in range(0, len(self.lines), 4):
            folded = self.lines[index].translate(FOLD)
            if left.get(folded):
                left[folded] -= 1
                pieces += self.lines[index : index + 4]
        return tuple(pieces)

    def parameter(self, name: bytes) -> bytes | None:
        """Return the decoded value of the only query parameter with this name; None if an app may read another one.

        Some apps ignore letter case, end a pair at `;`, or read brackets, dots, spaces or `+` in a name differently
        (`_readings`). Some ignore pairs after a number of them, or decode `%u0070`. `+` in a value is a space to some.
        """
        if not self._is_readable():
            return None
        wanted = _readings(name)
        pairs = [pair for pair in _SEPARATORS.split(self.query) if _sent_as(pair, wanted)]
        if len(pairs) != 1 or pairs[0] not in self.query.split(b"&"):
            return None
        sent, equals, value = pairs[0].partition(b"=")
        if not equals or b"+" in value or unquote_to_bytes(sent) != name:
            return None
        return unquote_to_bytes(value)

    def _is_readable(self) -> bool:
        """Return whether all apps find the same pairs in the query."""
        query = self.query
        return query.count(b"&") + query.count(b";") < _MAX_PAIRS and _MALFORMED.search(query) is None


def _sent_as(pair: bytes, wanted: set[bytes]) -> bool:
    return not wanted.isdisjoint(_readings(unquote_to_bytes(pair.partition(b"=")[0])))


def _readings(name: bytes) -> set[bytes]:
    """Return a parameter's name as lax apps may read it: the part within or before brackets, or with `_` for brackets.

    Rack and qs do the former, PHP the latter for a bracket that is not closed.
    """
    name = name.lstrip(b" +").partition(b"\0")[0]
    within = _BRACKETS.split(name.lstrip(b" +[]"), maxsplit=1)[0]
    return {within.translate(_LOOSE), name.translate(_LOOSE).translate(_FOLDED_BRACKETS)}


NO_REQUEST: Final = RequestView(())
"""For rules that read nothing of a request."""
