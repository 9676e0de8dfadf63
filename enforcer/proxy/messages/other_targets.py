"""Other targets: methods and targets that fields of a request name besides its own. An app may act on either. Pure."""

from __future__ import annotations

import re
from typing import Final

from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages.head import RequestHead
from enforcer.wire.fields import OWS, TOKEN, FieldKind

OtherTargets = tuple[tuple[bytes, bytes], ...]
"""Pairs of a method and a target in origin form, each of which must be allowed too."""

COPYING: Final = (b"COPY", b"MOVE")
"""The methods with a Destination."""
_WRITING: Final = b"PUT"
"""The method that a destination is authorized for: a client that may not write there may not move anything there."""
_MAX_METHOD: Final = 32
_DESTINATION: Final = int(FieldKind.DESTINATION)
_METHOD_OVERRIDE: Final = int(FieldKind.METHOD_OVERRIDE)
_URI: Final = re.compile(rb"(?i:https?)://([^/?#]*)(.*)", re.DOTALL)
_DEFAULT_PORT: Final = re.compile(rb":(?:80|443)?\Z")


def read_other_targets(head: RequestHead) -> OtherTargets:
    """Return the other targets of a request; raises MalformedRequestError if a field that names one cannot be read.

    `Destination` (RFC 4918 §10.3) is read only with MOVE and COPY. Its host must be the request's own.
    """
    special = head.special
    if special is None or (_DESTINATION not in special and _METHOD_OVERRIDE not in special):
        return ()
    others: list[tuple[bytes, bytes]] = []
    methods = [head.method]
    overrides = special.get(_METHOD_OVERRIDE, ())
    if overrides:
        values = {value.strip(OWS).upper() for _, value in overrides}
        override = values.pop()
        if values or len(override) > _MAX_METHOD or not TOKEN.fullmatch(override):
            raise MalformedRequestError(overrides[0][0].decode(), "not one method")
        if override != head.method:
            methods.append(override)
            others.append((override, head.target))
    destinations = special.get(_DESTINATION, ())
    if destinations and any(name in COPYING for name in methods):
        if len(destinations) != 1:
            raise MalformedRequestError("Destination", "more than one")
        others.append((_WRITING, _path(destinations[0][1].strip(OWS), head.host)))
    return tuple(others)


def _path(destination: bytes, host: bytes) -> bytes:
    """Return the path and query of a destination."""
    uri = _URI.fullmatch(destination)
    if uri is not None:
        if _without_port(uri[1]) != _without_port(host):
            raise MalformedRequestError("Destination", "another host than that of the request")
        destination = uri[2] if uri[2].startswith(b"/") else b"/" + uri[2]
    if not destination.startswith(b"/"):
        raise MalformedRequestError("Destination", "neither a path nor an http URI")
    return destination


def _without_port(authority: bytes) -> bytes:
    return _DEFAULT_PORT.sub(b"", authority.lower())
