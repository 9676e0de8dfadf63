"""The responses of old apps, which break HTTP/1.1 in ways that every reader understands alike. Pure.

The parser is strict, and refuses such heads. A head that can be read in one way only is written again as HTTP/1.1 wants
it. If readers understand it differently, it is not, and the response is refused.
"""

from __future__ import annotations

import re
from typing import Final

from enforcer.wire.fields import OWS, TOKEN

_END: Final = re.compile(rb"\r?\n\r?\n")
_MAX_LINES: Final = 500
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")


def rewrite_head(data: bytes) -> bytes | None:
    """Return a response with a head as HTTP/1.1 wants it, `data` from its first byte on; None if there is no such head.

    - Lines that all end with LF get CR LF. If only some do, the others may be a value with a line break in it.
    - Equal values of Content-Length become one (RFC 9112 §6.3); different ones are two readings.
    - `Transfer-Encoding: identity` is removed (RFC 7230 appendix A.2); it means no coding.
    """
    match = _END.search(data)
    if match is None:
        return None
    head, rest = data[: match.start()], data[match.end() :]
    ends = b"\r\n" if b"\r" in head else b"\n"
    if match.group() != ends * 2 or head.count(b"\n") > _MAX_LINES:
        return None
    status, *lines = head.split(ends)
    repaired, lengths, coded = [status], set[bytes](), False
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            return None
        folded = name.lower()
        if folded == b"content-length":
            lengths.update(part.strip(OWS) for part in value.split(b","))
        elif folded != b"transfer-encoding":
            repaired.append(line)
        elif value.strip(OWS).lower() != b"identity":
            coded = True
            repaired.append(line)
    if len(lengths) > 1 or (lengths and coded) or b"\r" in b"".join(repaired) or b"\n" in b"".join(repaired):
        return None
    for length in lengths:
        if not _DIGITS.fullmatch(length):
            return None
        repaired.append(b"Content-Length: " + length)
    return b"\r\n".join([*repaired, b"", rest])
