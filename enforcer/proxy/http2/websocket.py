"""The handshake of a WebSocket on a stream (RFC 8441), which the enforcer makes with an app that speaks HTTP/1.1.

HTTP/2 needs neither Sec-WebSocket-Key nor Sec-WebSocket-Accept. HTTP/1.1 does (RFC 6455 §4), so that the enforcer is
the client of that handshake.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Final

from enforcer.wire.fields import OWS, without
from enforcer.wire.http2.fields import FieldList

PROTOCOL: Final = b"websocket"
_ACCEPT: Final = b"sec-websocket-accept"
_KEY_BYTES: Final = 16
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def names_protocol(section: FieldList) -> bool:
    """Return whether a request's field section has `:protocol`."""
    for name, _ in section:
        if not name.startswith(b":"):
            return False
        if name == b":protocol":
            return True
    return False


def new_key() -> bytes:
    """Return a new value for Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(_KEY_BYTES))


def is_accepted(key: bytes, lines: list[bytes]) -> bool:
    """Return whether the response with these field lines, in pieces, accepts the handshake with this key."""
    expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    accepts = [lines[index + 2].strip(OWS) for index in range(0, len(lines), 4) if lines[index].lower() == _ACCEPT]
    return accepts == [expected]


def without_accept(lines: list[bytes]) -> list[bytes]:
    """Return the field lines without those that only HTTP/1.1 needs."""
    return without(lines, frozenset({_ACCEPT}))
