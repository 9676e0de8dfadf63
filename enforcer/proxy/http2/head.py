"""The head of an HTTP/2 request (RFC 9113 §8.3), as the same value that an HTTP/1.1 head becomes. Pure.

1. A request that RFC 9113 calls malformed is one stream's fault, and never reaches a rule.
2. Everything else is read by the same `HeadBuilder` with the same limits as an HTTP/1.1 head.
3. A request for a WebSocket (RFC 8441) is the GET with `Upgrade: websocket` that it is in HTTP/1.1 (RFC 6455 §4.1).
"""

from __future__ import annotations

import re
from typing import Final

from enforcer.errors import MalformedRequestError
from enforcer.proxy.http2.websocket import PROTOCOL
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead, unreadable
from enforcer.settings.limits import Limits
from enforcer.wire.fields import METHODS, TOKEN
from enforcer.wire.http2.fields import VALID_NAMES, VALUE, FieldList

_PATH: Final = re.compile(rb"/[\x21-\x7e]*")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority", b":protocol"})
_WITH_CONTENT: Final = frozenset({b"POST", b"PUT", b"PATCH"})
_METHODS: Final = frozenset(method.encode() for method in METHODS)
_UNKNOWN_METHOD: Final = responses.malformed("request line: unknown method", 501)
_UNKNOWN_PROTOCOL: Final = responses.malformed(":protocol: not one that may be used here", 501)
_SCHEMES: Final = (b"https", b"http")


def read_head(
    builder: HeadBuilder,
    section: FieldList,
    forwarding: Forwarding,
    limits: Limits,
    *,
    has_body: bool,
    websocket_key: bytes = b"",
) -> RequestHead:
    """Return the head that a field section is; raises MalformedRequestError if RFC 9113 §8.1.1 calls it malformed.

    `has_body`: the section does not end the stream. `websocket_key`: for the handshake, if it asks for a WebSocket;
    empty if there are no WebSockets.
    """
    builder.start(forwarding)
    pseudo: dict[bytes, bytes] = {}
    size = position = 0
    for name, value in section:
        if not name.startswith(b":"):
            break
        if name not in _PSEUDO or name in pseudo or VALUE.fullmatch(value) is None:
            raise MalformedRequestError("pseudo-header field", "unknown, repeated or not valid")
        pseudo[name] = value
        size += len(value)
        position += 1
    fields = section[position:]
    method, protocol = pseudo.get(b":method", b""), pseudo.get(b":protocol")
    authority = _authority(pseudo.get(b":authority"), fields)
    builder.on_url(_target(method, pseudo))
    if authority is not None:
        builder.on_header(b"Host", authority)
    cookies = [value for name, value in fields if name == b"cookie"]
    sized = False
    for name, value in fields:
        if not VALID_NAMES[name] or VALUE.fullmatch(value) is None:
            raise MalformedRequestError("field", "not valid in HTTP/2")
        size += len(name) + len(value)
        if name == b"host" or (protocol is not None and name == b"sec-websocket-key"):
            continue
        if name == b"cookie":
            # RFC 9113 §8.2.3: its pieces are one field in HTTP/1.1
            if cookies:
                builder.on_header(name, b"; ".join(cookies))
                cookies = []
            continue
        if name == b"te" and value.lower() != b"trailers":
            raise MalformedRequestError("TE", "other than trailers")
        if name == b"content-length":
            sized = True
            if protocol is not None or (not has_body and value.strip(b"0")):
                raise MalformedRequestError("Content-Length", "not the length of the body")
        builder.on_header(name, value)
    oversize = size > limits.head
    if protocol is not None:
        if protocol.lower() != PROTOCOL or PROTOCOL not in forwarding.upgrades or not websocket_key:
            return unreadable(_UNKNOWN_PROTOCOL)
        builder.on_header(b"Upgrade", PROTOCOL)
        builder.on_header(b"Sec-WebSocket-Key", websocket_key)
        if not any(name == b"sec-websocket-version" for name, _ in fields):
            builder.on_header(b"Sec-WebSocket-Version", b"13")
        return builder.build_special(b"GET", True, limits, oversize, "1.1", True)
    if not sized:
        if has_body:
            builder.on_header(b"transfer-encoding", b"chunked")
        elif method in _WITH_CONTENT:
            builder.on_header(b"content-length", b"0")  # RFC 9110 §8.6: some apps wait for a body otherwise
    if method not in _METHODS:
        return unreadable(_UNKNOWN_METHOD)
    head = builder.build(method, True, limits, oversize)
    return builder.build_special(method, True, limits, oversize, "1.1", False) if head is None else head


def _target(method: bytes, pseudo: dict[bytes, bytes]) -> bytes:
    """Return the request target in HTTP/1.1's form."""
    if TOKEN.fullmatch(method) is None:
        raise MalformedRequestError(":method", "missing, or not a token")
    path, scheme = pseudo.get(b":path"), pseudo.get(b":scheme")
    if b":protocol" in pseudo:
        # RFC 8441 §4
        if method != b"CONNECT" or not pseudo.get(b":authority"):
            raise MalformedRequestError(":protocol", "not with CONNECT, or without authority")
    elif method == b"CONNECT":
        if path is not None or scheme is not None or not pseudo.get(b":authority"):
            raise MalformedRequestError("CONNECT", "with a path or scheme, or without authority")
        return pseudo[b":authority"]
    if scheme not in _SCHEMES:
        raise MalformedRequestError(":scheme", "missing, or not http or https")
    if path is None or (_PATH.fullmatch(path) is None and not (path == b"*" and method == b"OPTIONS")):
        raise MalformedRequestError(":path", "missing, or not valid")
    return path


def _authority(authority: bytes | None, fields: FieldList) -> bytes | None:
    """Return what HTTP/1.1 sends as Host; None if there is none."""
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (hosts and authority is not None and hosts[0].lower() != authority.lower()):
        raise MalformedRequestError("Host", "more than one, or not the :authority")
    return authority if authority is not None else hosts[0] if hosts else None
