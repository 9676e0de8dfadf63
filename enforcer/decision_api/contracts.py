"""Contracts: how a proxy that asks for a decision describes its client's request (see docs/decision-api.md). Pure.

1. Each listener has one contract. Fields of other contracts are ignored, because the client may have sent them, and
   counted (`ignored_fields`).
2. Method, target and host are never assumed: a field that is missing, repeated or not valid is an error.
3. A request with a second target must name it: the proxy may not pass the field on, and forward it all the same.
4. The target is read later, by the same parser as the proxy's own (`proxy.authorize`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import RequestHead, SpecialFields
from enforcer.proxy.messages.other_targets import COPYING
from enforcer.proxy.messages.responses import Refusal
from enforcer.settings.limits import Limits
from enforcer.wire.fields import FOLD, HOST, METHODS, OWS, FieldKind

_DESTINATION: Final = int(FieldKind.DESTINATION)
_DROP: Final = int(FieldKind.DROP)
_FORWARDED: Final = int(FieldKind.FORWARDED)
_METHOD_OVERRIDE: Final = int(FieldKind.METHOD_OVERRIDE)
_METHODS: Final = frozenset([method.encode() for method in METHODS])
_URL: Final = re.compile(rb"(https?)://([^/?#]*)(/.*)")
_SCHEMES: Final = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}
"""The schemes of X-Forwarded-Proto, and those of the URLs that they stand for: Traefik writes `wss` for upgrades."""


class Contract(NamedTuple):
    """The fields that describe the client's request, by lower-case name; empty: the request's own part.

    `url`: the target field is an absolute URL, and names scheme and host too. `forwarded` are the forwarding fields
    that the proxy sets itself, and that are believed therefore. `unread` are fields of other contracts that the proxy
    sets too, and that are not reported therefore. `joins`: of a repeated field, the proxy makes a list with commas.
    """

    method: bytes = b""
    target: bytes = b""
    host: bytes = b""
    url: bool = False
    forwarded: frozenset[bytes] = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
    unread: frozenset[bytes] = frozenset()
    joins: bool = False


_WITH_HOST: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
CONTRACTS: Final[Mapping[str, Contract]] = {
    "nginx": Contract(b"x-original-method", b"x-original-uri"),
    "haproxy": Contract(b"x-original-method", b"x-original-uri", b"x-forwarded-host", forwarded=_WITH_HOST, joins=True),
    "ingress-nginx": Contract(
        b"x-original-method",
        b"x-original-url",
        url=True,
        forwarded=frozenset({b"x-forwarded-for"}),
        unread=frozenset({b"x-original-uri"}),  # with the annotation auth-method
    ),
    "forwarded": Contract(b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host", forwarded=_WITH_HOST),
    "request": Contract(joins=True),
}
"""The contracts by the name in a configuration."""
_DESCRIBING: Final = frozenset(name for contract in CONTRACTS.values() for name in contract[:2] if name)
"""The fields that describe a method or target in any contract."""


def read(contract: Contract, carrier: RequestHead, limits: Limits) -> RequestHead:
    """Return the head of the client's request, of which `carrier`, a request to the decision API, asks.

    Its `refusal` is set if the carrier does not describe exactly one request. Framing, keep-alive and version, which
    belong to the connection, are the carrier's.
    """
    if carrier.special is None and not contract.method and carrier.host and carrier.method not in COPYING:
        return carrier  # the common case of `request`: it is the client's own
    special: SpecialFields = carrier.special or {}
    try:
        method, target, host, forwarded = _describe(contract, carrier)
        check_destination(method, special, joined=contract.joins)
    except MalformedRequestError as error:
        return refused(carrier, responses.malformed(str(error), error.status))
    refusal = responses.TARGET_TOO_LONG if len(target) > limits.target else None
    return _judged(carrier, method, target, host, forwarded, refusal)


def foreign_fields(contract: Contract, head: RequestHead) -> list[bytes]:
    """Return the names of fields that describe a request, but not in this contract, folded as the laxest app does.

    Another spelling of the contract's own field is such a field too. X-Forwarded-Host is not: most proxies set it.
    """
    names: list[bytes] = []
    for name, _ in (head.special or {}).get(_DROP, ()):
        folded = name.translate(FOLD)
        own = folded in contract.unread or name.lower() in (contract.method, contract.target)
        if folded in _DESCRIBING and not own:
            names.append(folded)
    return names


def check_method(method: bytes) -> None:
    """Raise MalformedRequestError if the proxy's parser does not know a method, which it answers 501 too."""
    if method not in _METHODS:
        raise MalformedRequestError("request line", "unknown method", 501)


def check_destination(method: bytes, special: SpecialFields, *, joined: bool) -> None:
    """Raise MalformedRequestError if a request that copies or moves does not name one destination.

    `joined`: repeated fields are joined, so that a value with a comma may be several, of which an app may take any.
    """
    if method not in COPYING:
        overrides = special.get(_METHOD_OVERRIDE, ())
        if not any(value.strip(OWS).upper() in COPYING for _, value in overrides):
            return
    destinations = special.get(_DESTINATION, ())
    if not destinations:
        raise MalformedRequestError("Destination", "missing; the proxy must pass it on")
    if len(destinations) > 1 or (joined and b"," in destinations[0][1]):
        raise MalformedRequestError("Destination", "more than one, or with a comma")


def refused(carrier: RequestHead, refusal: Refusal) -> RequestHead:
    """Return the head of a request that cannot be decided; nothing that the carrier says is believed."""
    return _judged(carrier, carrier.method, carrier.target, carrier.host, None, refusal)


_Forwarded = list[tuple[bytes, bytes]]


def _describe(contract: Contract, carrier: RequestHead) -> tuple[bytes, bytes, bytes, _Forwarded]:
    special: SpecialFields = carrier.special or {}
    method = _read(special, contract.method) if contract.method else carrier.method
    target = _read(special, contract.target) if contract.target else carrier.target
    host = _read(special, contract.host) if contract.host else carrier.host
    check_method(method)
    forwarded = [(name, value) for name, value in special.get(_FORWARDED, ()) if name.lower() in contract.forwarded]
    if contract.url:
        match = _URL.fullmatch(target)
        if match is None:
            raise MalformedRequestError(contract.target.decode(), "not an http URL with a path")
        host, target = match[2], match[3]
        forwarded.append((b"X-Forwarded-Proto", match[1]))
    if not HOST.fullmatch(host):
        raise MalformedRequestError("Host", "missing, or not a host")
    return method, target, host, _with_scheme(forwarded)


def _with_scheme(forwarded: _Forwarded) -> _Forwarded:
    """Return the forwarding fields with the scheme that X-Forwarded-Proto stands for."""
    schemes = [value.strip(OWS).lower() for name, value in forwarded if name.lower() == b"x-forwarded-proto"]
    if not schemes:
        return forwarded
    if len(schemes) > 1 or schemes[0] not in _SCHEMES:
        raise MalformedRequestError("X-Forwarded-Proto", "not one scheme")
    others = [(name, value) for name, value in forwarded if name.lower() != b"x-forwarded-proto"]
    return [*others, (b"X-Forwarded-Proto", _SCHEMES[schemes[0]])]


def _read(special: SpecialFields, name: bytes) -> bytes:
    """Return the value of a field that must be there once; raises MalformedRequestError."""
    values = [value for kind in (_DROP, _FORWARDED) for sent, value in special.get(kind, ()) if sent.lower() == name]
    if len(values) != 1:
        raise MalformedRequestError(name.decode(), "repeated" if values else "missing")
    return values[0].strip(OWS)


def _judged(
    carrier: RequestHead,
    method: bytes,
    target: bytes,
    host: bytes,
    forwarded: _Forwarded | None,
    refusal: Refusal | None,
) -> RequestHead:
    special: dict[int, _Forwarded] = {
        kind: list(fields) for kind, fields in (carrier.special or {}).items() if kind not in (_DROP, _FORWARDED)
    }
    if forwarded:
        special[_FORWARDED] = forwarded
    return RequestHead(
        method,
        target,
        host,
        carrier.lines,
        authorization=carrier.authorization,
        authorizations=carrier.authorizations,
        special=special or None,
        framing=carrier.framing,
        length=carrier.length,
        keep_alive=carrier.keep_alive,
        http10=carrier.http10,
        has_body=carrier.has_body,
        chunked=carrier.chunked,
        upgrade=carrier.upgrade,
        refusal=refusal,
    )
