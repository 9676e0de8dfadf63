"""Field lines between HTTP/1.1 and HTTP/2 (RFC 9113 §8.2). Pure."""

from __future__ import annotations

import re
from typing import Final

from enforcer.wire.fields import OWS

FieldList = list[tuple[bytes, bytes]]
"""Names and values in order, pseudo-header fields first."""

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
"""RFC 9110 §5.5, without control characters, and without whitespace around it (RFC 9113 §8.2.1)."""

_OF_CONNECTION: Final = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
"""Fields that make a message malformed (RFC 9113 §8.2.2). Proxy-Authorization and -Authenticate do not, and are dropped
later as with HTTP/1.1."""
_MAX_NAMES: Final = 2048
"""Field names that are remembered; a peer that invents names must not keep others' out."""


class _Names(dict[bytes, bool]):
    """Whether a message may have a field of this name: lower case, and not of the connection (RFC 9113 §8.2.2)."""

    def __missing__(self, name: bytes) -> bool:
        valid = _NAME.fullmatch(name) is not None and name not in _OF_CONNECTION
        if len(name) <= 64:
            if len(self) >= _MAX_NAMES:
                self.clear()
            self[name] = valid
        return valid


VALID_NAMES: Final = _Names()


def read_trailers(section: FieldList) -> list[bytes] | None:
    """Return a trailer section as field lines in pieces; None if it is malformed (RFC 9113 §8.1)."""
    lines: list[bytes] = []
    for name, value in section:
        if not VALID_NAMES[name] or VALUE.fullmatch(value) is None:
            return None
        lines += (name, b": ", value, b"\r\n")
    return lines


def write_fields(lines: list[bytes]) -> FieldList:
    """Return field lines, which are in pieces, as names and values; those of a connection must be gone by now."""
    return [(lines[index].lower(), lines[index + 2].strip(OWS)) for index in range(0, len(lines), 4)]
