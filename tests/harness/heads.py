"""Reads the head of a request that reached the upstream in every way that a lax app might read it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from harness.parsers import PARSERS
from harness.servers import parse_fields

# RFC 9112 §3, §5 and RFC 9110 §5.5, without anything that a lax parser reads differently
_HEAD = re.compile(
    rb"[!-~]+ /[!-~]* HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n"
)


def field_values(head: bytes, name: str) -> list[bytes]:
    """Return the values of all fields that an app may take for this name, whatever the case and separators."""
    wanted = _fold(name.encode())
    return [value for field_name, value in parse_fields(head) if _fold(field_name) == wanted]


def _fold(name: bytes) -> bytes:
    return re.sub(rb"[^a-z0-9]", b"-", name.lower())


def request_line(head: bytes) -> str:
    """Return the method and target of a head, separated by a space."""
    return head.partition(b" HTTP/1.1\r\n")[0].decode("latin-1")


def is_unambiguous(head: bytes) -> bool:
    """Return whether every parser reads this request head the same way."""
    names = [name.lower() for name, _ in parse_fields(head)]
    framing = [name for name in names if name in (b"content-length", b"transfer-encoding")]
    lengths = field_values(head, "content-length")
    return (
        _HEAD.fullmatch(head) is not None
        and len(framing) <= 1
        and all(re.fullmatch(rb"0|[1-9][0-9]*", value) for value in lengths)
        and names.count(b"host") == 1
    )


def reaches_admin(head: bytes) -> bool:
    """Return whether any reading of the path is below `/admin` although the request has no token for it."""
    path = head.split(b" ")[1].partition(b"?")[0]
    readings = [parser(path) for parser in PARSERS]
    for _ in range(4):
        path = unquote_to_bytes(path)
    path = re.sub(rb";[^/]*", b"", path.replace(b"\\", b"/").lower())
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    tokens = field_values(head, "authorization")
    allowed = len(tokens) == 1 and re.match(rb"(?i:bearer) +ADM(~|$)", tokens[0]) is not None
    return any(reading is not None and reading[:1] == [b"admin"] for reading in (segments, *readings)) and not allowed
