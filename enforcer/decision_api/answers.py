"""The answer to a caller whose client's request is allowed: status 200, the identity fields, and nothing else. Pure.

Callers copy fields of the answer to the request that they forward, and some copy all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enforcer.proxy.messages.head import RequestHead
from enforcer.wire.fields import FieldKind

_DROP: Final = int(FieldKind.DROP)
_SEPARATOR: Final = b": "
_END: Final = b"\r\n"
_START: Final = (b"Content-Length", _SEPARATOR, b"0", _END, b"Cache-Control", _SEPARATOR, b"no-store", _END)
_REMOVED: Final = b"x-envoy-auth-headers-to-remove"


class AllowedAnswer:
    """The answers of one listener to allowed requests.

    `identity` are the names of the identity fields. `removes`: the caller removes the fields that the answer names
    (Envoy), which are all that the proxy would remove and the answer does not set; `authorization`: also Authorization
    and DPoP.
    """

    __slots__ = ("_authorization", "_identity", "_removes")

    def __init__(self, identity: Iterable[str], *, removes: bool, authorization: bool) -> None:
        self._identity = [name.lower().encode() for name in identity]
        self._removes = removes
        self._authorization = [b"authorization", b"dpop"] if authorization else []

    def lines(self, identity: bytes, carrier: RequestHead) -> list[bytes]:
        """Return the field lines of the answer, in pieces.

        `identity` are the identity field lines, `carrier` the caller's request.
        """
        lines = [*_START]
        pairs = field_pairs(identity)
        for name, value in pairs:
            lines += (name, _SEPARATOR, value, _END)
        if self._removes and (removed := self.removed(pairs, carrier)):
            lines += (_REMOVED, _SEPARATOR, b",".join(removed), _END)
        return lines

    def removed(self, identity: list[tuple[bytes, bytes]], head: RequestHead) -> list[bytes]:
        """Return the names of the fields that the app must not get: the proxy would remove them from this head."""
        replaced = {name.lower() for name, _ in identity}
        names = [*self._authorization, *(name for name in self._identity if name not in replaced)]
        for sent, _ in (head.special or {}).get(_DROP, ()):
            name = sent.lower()
            if name not in replaced and name not in names:
                names.append(name)
        return names


def field_pairs(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Return names and values of whole field lines."""
    pairs: list[tuple[bytes, bytes]] = []
    for line in lines.split(_END):
        if line:
            name, _, value = line.partition(_SEPARATOR)
            pairs.append((name, value))
    return pairs
