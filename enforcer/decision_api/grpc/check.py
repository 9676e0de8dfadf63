"""Envoy's messages: which request a CheckRequest describes, and the CheckResponse that answers it. Pure.

The numbers are those of envoy/service/auth/v3/external_auth.proto and attribute_context.proto.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from enforcer.clients import UNKNOWN
from enforcer.decision_api.contracts import check_destination, check_method
from enforcer.decision_api.grpc.protobuf import Field, integer, message, read, repeated, single, text
from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead
from enforcer.proxy.messages.responses import OwnResponse
from enforcer.settings.limits import Limits
from enforcer.wire.fields import HOST, OWS, TOKEN, FieldKind

_CERTIFICATE: Final = int(FieldKind.CERTIFICATE)
_FORWARDED: Final = int(FieldKind.FORWARDED)

_PEM: Final = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SCHEMES: Final = (b"http", b"https")
_WEBSOCKET: Final = b"websocket"
"""Any upgrade is taken for one: the only protocol that pages can ask for."""
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OF_FRAMING: Final = frozenset({b"host", b"transfer-encoding", b"connection", b"upgrade", b"keep-alive"})
"""Fields that Envoy has read already; it sends Host as an attribute."""

# google.rpc.Code
_OK: Final = 0
_PERMISSION_DENIED: Final = 7
_UNAUTHENTICATED: Final = 16
_UNAVAILABLE: Final = 14

_CODES: Final = {401: _UNAUTHENTICATED, 503: _UNAVAILABLE}

_OF_RESPONSE: Final = frozenset({b":status", b"content-length", b""})
"""Fields that Envoy writes itself."""
_OVERWRITE: Final = 2
"""HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD."""


def read_check(data: bytes, forwarding: Forwarding, limits: Limits) -> RequestHead:
    """Return the head of the request that a CheckRequest describes; raises MalformedRequestError.

    Its `refusal` is set if it is too large.
    """
    attributes = read(single(read(data), 1))
    source = read(single(attributes, 1))
    http = read(single(read(single(attributes, 4)), 2))
    method, path, host, scheme = single(http, 2), single(http, 4), single(http, 5), single(http, 6)
    check_method(method)
    if not path:
        raise MalformedRequestError("path", "missing")
    if HOST.fullmatch(host) is None:
        raise MalformedRequestError("host", "missing, or not a host")
    if scheme not in _SCHEMES:
        raise MalformedRequestError("scheme", "missing, or not http or https")
    _check_query(path, single(http, 7), single(http, 8))
    builder = HeadBuilder(forwarding)
    builder.on_url(path)
    builder.on_header(b"Host", host)
    raw = read(single(http, 13))
    upgrade: bytes | None = None
    for name, value in _header_fields(http, raw):
        if name.lower() == b"upgrade":
            upgrade = _WEBSOCKET
        if name.startswith(b":") or name.lower() in _OF_FRAMING:
            continue
        if TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise MalformedRequestError("headers", "a name or value that HTTP does not have")
        builder.on_header(name, value.strip(OWS))
    head = builder.build_special(method, True, limits, True, "1.1", False)
    check_destination(method, head.special or {}, joined=not raw)
    return _with_peer(head, scheme, _address(source), _certificate(single(source, 5)), upgrade)


def _check_query(path: bytes, query: bytes, fragment: bytes) -> None:
    """Raise MalformedRequestError if there is more of the target than the path has. Envoy leaves the others empty."""
    if fragment or (query and query != path.partition(b"?")[2]):
        raise MalformedRequestError("query", "not in the path")


def _header_fields(http: list[Field], raw: list[Field]) -> list[tuple[bytes, bytes]]:
    """Return the header fields in order: `raw`, as sent (`encode_raw_headers`), or else joined by name."""
    pairs: list[tuple[bytes, bytes]] = []
    if raw:
        for entry in repeated(raw, 1):
            fields = read(entry)
            pairs.append((single(fields, 1), single(fields, 3) or single(fields, 2)))
    else:
        for entry in repeated(http, 3):
            fields = read(entry)
            pairs.append((single(fields, 1), single(fields, 2)))
    return pairs


def _address(source: list[Field]) -> bytes:
    """Return the address of the peer that Envoy sees; `UNKNOWN` for a Unix socket, as for the proxy's own clients.

    An empty one would leave the choice to X-Forwarded-For, which the client may have written.
    """
    return single(read(single(read(single(source, 1)), 1)), 2) or UNKNOWN.encode()


def _certificate(encoded: bytes) -> bytes | None:
    """Return the client's certificate (DER) of a URL-encoded PEM text; None if there is none."""
    if not encoded:
        return None
    match = _PEM.match(unquote_to_bytes(encoded))
    try:
        if match is not None:
            return base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error:
        pass
    raise MalformedRequestError("source.certificate", "not a URL-encoded certificate in PEM")


def _with_peer(
    head: RequestHead, scheme: bytes, address: bytes, certificate: bytes | None, upgrade: bytes | None
) -> RequestHead:
    """Return a head with what Envoy itself knows of its client, instead of what the client says of itself."""
    special: dict[int, list[tuple[bytes, bytes]]] = {
        kind: list(fields) for kind, fields in (head.special or {}).items() if kind not in (_CERTIFICATE, _FORWARDED)
    }
    forwarded = (head.special or {}).get(_FORWARDED, ())
    chain = [value for name, value in forwarded if name.lower() == b"x-forwarded-for"]
    special[_FORWARDED] = [(b"X-Forwarded-For", b", ".join([*chain, address])), (b"X-Forwarded-Proto", scheme)]
    if certificate is not None:
        special[_CERTIFICATE] = [(b"Client-Cert", b":%b:" % base64.b64encode(certificate))]
    return RequestHead(
        head.method,
        head.target,
        head.host,
        head.lines,
        authorization=head.authorization,
        authorizations=head.authorizations,
        special=special,
        keep_alive=True,
        has_body=head.has_body,
        upgrade=upgrade,
        refusal=head.refusal,
    )


def write_allowed(
    set_fields: Sequence[tuple[bytes, bytes]], removed: Iterable[bytes], response_fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the CheckResponse for an allowed request.

    `set_fields` are set in the app's request, and `removed` removed from it; `response_fields` are added to the
    response of the app.
    """
    parts = [message(2, _header_option(name, value)) for name, value in set_fields]
    parts += [text(5, name) for name in removed]
    parts += [message(6, _header_option(name, value)) for name, value in response_fields]
    return message(1, integer(1, _OK)) + message(3, b"".join(parts))


def write_denied(response: OwnResponse, request_id: bytes) -> bytes:
    """Return the CheckResponse for a request that is not forwarded: Envoy responds with status, fields and body.

    An outage is such a response too, and not an error of the call: with `failure_mode_allow`, an error opens.
    """
    fields = [field for field in response.fields(b"", request_id) if field[0] not in _OF_RESPONSE]
    denied = message(1, integer(1, response.status))
    denied += b"".join([message(2, _header_option(name, value)) for name, value in fields])
    denied += text(3, response.body)
    code = _CODES.get(response.status, _PERMISSION_DENIED)
    return message(1, integer(1, code)) + message(2, denied)


def _header_option(name: bytes, value: bytes) -> bytes:
    return message(1, text(1, name) + text(2, value)) + integer(3, _OVERWRITE)


def read_service(data: bytes) -> bytes:
    """Return the service that a HealthCheckRequest asks about; empty: the server itself."""
    return single(read(data), 1)


def write_health(*, serving: bool) -> bytes:
    """Return a HealthCheckResponse."""
    return integer(1, 1 if serving else 2)
