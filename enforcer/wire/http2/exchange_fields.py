"""The fields of an exchange with a server: HTTP/1.1 heads as HTTP/2 field sections, and back (RFC 9113 §8). Pure."""

from __future__ import annotations

from typing import Final

from enforcer.wire.fields import HOP_BY_HOP, OWS
from enforcer.wire.http2.fields import VALID_NAMES, VALUE, FieldList

NO_LENGTH: Final = -1
"""The length of a message without Content-Length."""

_LENGTH_DIGITS: Final = 18


class FieldSectionError(Exception):
    """A field section that RFC 9113 §8 calls malformed; the text says why, without values."""


def request_fields(head: bytes, scheme: bytes) -> FieldList:
    """Return the head of an HTTP/1.1 request, as `proxy.messages.forwarding` makes it, as a field section.

    The fields of the connection are left out (RFC 9113 §8.2.2), except `TE: trailers`, which gRPC needs.
    """
    request_line, _, rest = head.partition(b"\r\n")
    method, target, _ = request_line.split(b" ")
    fields: FieldList = [(b":method", method), (b":scheme", scheme), (b":path", target)]
    for line in rest.split(b"\r\n")[:-2]:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip(OWS)
        if name == b"host":
            fields.insert(2, (b":authority", value))
        elif name not in HOP_BY_HOP:
            fields.append((name, value))
        elif name == b"te":
            fields.append((b"te", b"trailers"))
    return fields


class ResponseHead:
    """The head of a response: `status`, field `lines` in pieces, and `length` of the body, or NO_LENGTH."""

    __slots__ = ("length", "lines", "status")

    def __init__(self, section: FieldList) -> None:
        """Read a field section. Raises FieldSectionError."""
        if not section or section[0][0] != b":status":
            raise FieldSectionError("it does not begin with :status")
        status = section[0][1]
        if len(status) != 3 or not status.isdigit() or not b"100" <= status <= b"999" or status == b"101":
            raise FieldSectionError("its status is not one of HTTP/2")
        self.status = int(status)
        self.lines: list[bytes] = []
        self.length = NO_LENGTH
        for name, value in section[1:]:
            if not VALID_NAMES[name] or name == b"te" or VALUE.fullmatch(value) is None:
                raise FieldSectionError("a field is not valid in HTTP/2")
            if name in HOP_BY_HOP:
                continue  # Proxy-Authenticate, which is not for the client
            if name == b"content-length":
                self._read_length(value)
            self.lines += (name, b": ", value, b"\r\n")

    def _read_length(self, value: bytes) -> None:
        if self.length != NO_LENGTH or not value.isdigit() or len(value) > _LENGTH_DIGITS:
            raise FieldSectionError("its Content-Length is not one number")
        self.length = int(value)
