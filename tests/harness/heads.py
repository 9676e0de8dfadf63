"""What is to be seen in the head of a request that reached the upstream, read with the suspicion of the laxest app."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from harness.servers import parse_fields

# RFC 9112 §3, §5 and RFC 9110 §5.5, with nothing that a lax parser could read otherwise
_HEAD = re.compile(
    rb"[!-~]+ /[!-~]* HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n"
)


def field(head: bytes, name: str) -> list[bytes]:
    """Return the values of all fields of a head that an app may take for the one of this name."""
    wanted = re.sub(rb"[^a-z0-9]", b"-", name.lower().encode())
    return [value for found, value in parse_fields(head) if re.sub(rb"[^a-z0-9]", b"-", found.lower()) == wanted]


def request_line(head: bytes) -> str:
    """Return method and target of a request that reached the upstream."""
    return head.partition(b" HTTP/1.1\r\n")[0].decode("latin-1")


def is_wholesome(head: bytes) -> bool:
    """Tell whether no two parsers could read a request's head in two ways."""
    names = [name.lower() for name, _ in parse_fields(head)]
    framing = [name for name in names if name in (b"content-length", b"transfer-encoding")]
    lengths = field(head, "content-length")
    return (
        _HEAD.fullmatch(head) is not None
        and len(framing) <= 1
        and all(re.fullmatch(rb"0|[1-9][0-9]*", value) for value in lengths)
        and names.count(b"host") == 1
    )


def trespasses(head: bytes) -> bool:
    """Tell whether a request is for `/admin`, however an app may read its path, and comes without a token for it."""
    path = head.split(b" ")[1].partition(b"?")[0]
    for _ in range(4):
        path = unquote_to_bytes(path)
    path = re.sub(rb";[^/]*", b"", path.replace(b"\\", b"/").lower())
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    tokens = field(head, "authorization")
    allowed = len(tokens) == 1 and re.match(rb"(?i:bearer) +ADM(~|$)", tokens[0]) is not None
    return segments[:1] == [b"admin"] and not allowed
